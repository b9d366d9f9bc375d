"""What Zep finds, as facts: each led to its exchange, and of each exchange one."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from worker.zep.facts import Edge, Episode, Source, facts, read_edge, read_episode

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def source(ref: str, part: int = 1) -> Source:
    return Source(ref, "i-1", part, NOW)


def episode(name: str, ref: str, part: int, text: str) -> Episode:
    return Episode(name, text, source(ref, part))


def test_an_exchange_that_stands_there_twice_is_told_once_in_the_order_of_its_parts() -> None:
    found = [
        episode("e4", "r1", 2, "The blue one."),
        episode("e1", "r1", 1, "Which pump?"),
        episode("e3", "r1", 1, "Which pump?"),
        episode("e2", "r1", 2, "The blue one."),
    ]
    [fact] = facts([], found, 10)

    assert (fact.id, fact.text, fact.ref) == ("e1", "Which pump?\nThe blue one.", "r1")


def test_what_was_derived_is_told_instead_of_the_exchange_and_comes_first() -> None:
    edges = [
        (Edge("f1", "Ann wants blue.", ("e1",)), source("r1")),
        (Edge("f2", "Ann wants blue.", ("e9",)), source("r1")),
        (Edge("f3", "Blue is in stock.", ("e1",)), source("r1")),
    ]
    found = facts(edges, [episode("e5", "r2", 1, "Which pump?"), episode("e1", "r1", 1, "Which colour?")], 10)

    assert [(each.id, each.text, each.ref) for each in found] == [
        ("f1", "Ann wants blue.\nBlue is in stock.", "r1"),
        ("e5", "Which pump?", "r2"),
    ]


def test_no_more_than_wanted_are_told_and_nothing_that_is_not_ours() -> None:
    found = [Episode("e0", "Hello.", None), *(episode(f"e{each}", f"r{each}", 1, "Yes.") for each in range(1, 5))]

    assert [each.ref for each in facts([], found, 2)] == ["r1", "r2"]


@pytest.mark.parametrize("name", ["invalid_at", "expired_at"])
def test_a_fact_that_holds_no_more_is_not_told(name: str) -> None:
    said: dict[str, Any] = {"uuid": "f1", "fact": "Ann wants blue.", "episodes": ["e1", 7]}

    assert read_edge(said, NOW) == Edge("f1", "Ann wants blue.", ("e1",))
    assert read_edge({**said, name: (NOW + timedelta(days=1)).isoformat()}, NOW) is not None
    assert read_edge({**said, name: "2026-02-01T00:00:00Z"}, NOW) is None
    assert read_edge({**said, name: "soon"}, NOW) is not None


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"uuid": "f1"},
        {"uuid": 1, "fact": "x"},
        {"uuid": "f1", "fact": " "},
        {"uuid": "e", "content": None},
        {"uuid": "e", "content": " "},
    ],
)
def test_what_cannot_be_read_is_left_out(said: dict[str, Any]) -> None:
    assert read_edge(said, NOW) is None
    assert read_episode(said) is None


@pytest.mark.parametrize(
    "metadata", [None, [], {}, {"ref": 1, "instance": "i"}, {"ref": "r"}, {"ref": "", "instance": "i"}]
)
def test_an_episode_without_our_metadata_has_no_source(metadata: Any) -> None:
    found = read_episode({"uuid": "e1", "content": "Hello.", "metadata": metadata})

    assert found == Episode("e1", "Hello.", None)


def test_an_episode_is_from_when_it_was_said_not_from_when_zep_took_it() -> None:
    metadata = {"ref": "r1", "instance": "i-1", "part": 2.0}
    times = {"created_at": "2026-03-02T00:00:00Z", "reference_time": "2026-03-01T12:00:00+00:00"}
    found = read_episode({"uuid": "e1", "content": "Hello.", "metadata": metadata, **times})

    assert found is not None
    assert found.source == Source("r1", "i-1", 2, NOW)


@pytest.mark.parametrize("part", [float("inf"), float("nan"), "1", None])
def test_a_part_that_is_no_number_is_the_first(part: Any) -> None:
    found = Source.read({"ref": "r1", "instance": "i-1", "part": part}, NOW)
    assert found is not None
    assert found.part == 0
