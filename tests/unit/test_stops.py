"""Orders to stop: whose names are known, and texts of people that do nothing to whoever prints them."""

import pytest

from worker.domain.stops import LONGEST_REASON, Kind, Stop, Work, order
from worker.errors import Permanent

KNOWN: dict[Kind, list[str]] = {"assistant": ["critic", "analyst"], "provider": ["openai"]}
WORK = Work("offers", None, "analyst", "openai")


def ordered(kind: Kind, name: str = "", **more: str) -> Stop:
    return order(kind, name, "ann", KNOWN, **more)  # type: ignore[arg-type]  # a reason


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        (
            "assistant",
            "analist",
            "no assistant is called 'analist'; did you mean 'analyst'? There are: analyst, critic",
        ),
        ("provider", "xyz", "no provider is called 'xyz'. There are: openai"),
        ("assistant", " ", "say which assistant"),
        ("topic", "", "say which topic"),
        ("all", "analyst", "all takes no name; is 'analyst' an assistant, a provider, a topic or a tenant?"),
        ("topic", "a\nb", "a topic's name has at most 255 characters, and none that cannot be printed"),
        ("tenant", "x" * 256, "a tenant's name has at most 255 characters, and none that cannot be printed"),
    ],
)
def test_an_order_for_what_there_is_not_is_refused_and_says_what_there_is(kind: Kind, name: str, said: str) -> None:
    with pytest.raises(Permanent) as refused:
        ordered(kind, name)
    assert str(refused.value) == said


def test_nobody_lists_the_assistants_that_came_with_processes() -> None:
    assert ordered("assistant", "deployment:offers:analyst").what == "assistant deployment:offers:analyst"


def test_topics_and_tenants_are_free() -> None:
    assert [ordered("topic", " offers ").what, ordered("tenant", "north").what] == ["topic offers", "tenant north"]


def test_a_reason_is_one_line_that_does_nothing() -> None:
    stop = ordered("assistant", "analyst", reason="too\ndear \x1b[31m" + "x" * 1000)

    assert stop.reason.startswith("too dear \ufffd[31mx")
    assert len(stop.reason) == LONGEST_REASON
    assert str(ordered("all", reason="too dear")).startswith("everything is stopped by ann since 20")


@pytest.mark.parametrize(
    ("kind", "name", "concerned"),
    [
        ("all", "", True),
        ("assistant", "analyst", True),
        ("assistant", "critic", False),
        ("provider", "openai", True),
        ("topic", "offers", True),
        ("topic", "analyst", False),
        ("tenant", "north", False),
    ],
)
def test_a_stop_concerns_what_it_names(kind: Kind, name: str, concerned: bool) -> None:
    assert ordered("all").concerns(WORK)
    stop = Stop(kind, name, "ann", ordered("all").since)
    assert stop.concerns(WORK) is concerned
