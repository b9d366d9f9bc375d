"""Who is refused: one task, or everybody of an assistant. A clock of the test's own tells when a pause is over."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
import structlog

from worker.domain.threads import Assistant
from worker.errors import AssistantPaused, TurnedAway
from worker.turn import verdict
from worker.turn.pauses import KNOWN, QUIET_SECONDS, SPREAD_SECONDS, Pauses

ANALYST = Assistant("analyst", "1.0", "gpt-5-mini", "openai", "Answer.", timedelta(seconds=10))
BUYER = Assistant("buyer", "1.0", "gpt-5-mini", "openai", "Buy.", timedelta(seconds=10))
FORBIDDEN = AssistantPaused("the key has no right")
PAGE = TurnedAway("a page came")
PAUSE = verdict.PAUSED_FOR.total_seconds()


@dataclass
class Scene:
    """Pauses, and a clock that goes when it is told to."""

    time: float = 1000.0
    pauses: Pauses = field(init=False)

    def __post_init__(self) -> None:
        self.pauses = Pauses(lambda: self.time)

    def may_try(self, task: str, assistant: Assistant = ANALYST) -> bool:
        try:
            self.pauses.check(assistant, task)
        except AssistantPaused as exc:
            wait = exc.retry_after or timedelta(0)
        else:
            return True
        assert timedelta(0) < wait <= timedelta(seconds=PAUSE + 2 * SPREAD_SECONDS)
        return False

    def refused(self, task: str, reason: Any = FORBIDDEN, assistant: Assistant = ANALYST) -> type[Exception]:
        """What is made of a refusal: AssistantPaused waits, TurnedAway costs the task a retry."""
        return type(self.pauses.refused(assistant, task, reason))

    def answered(self, task: str, assistant: Assistant = ANALYST) -> None:
        self.pauses.answered(assistant, task)

    def pause_passes(self) -> None:
        self.time += PAUSE + 0.1


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_new_key_of_the_provider_lets_everybody_try_at_once(scene: Scene) -> None:
    elsewhere = replace(BUYER, provider="local")
    for each in (ANALYST, elsewhere):
        scene.refused("a", assistant=each)
    assert not scene.may_try("b")
    scene.pauses.forget("openai")
    assert scene.may_try("b")
    assert not scene.may_try("b", elsewhere)


def test_who_was_never_refused_may_try(scene: Scene) -> None:
    assert scene.may_try("a")
    scene.answered("a")
    assert scene.may_try("b")


def test_the_providers_own_refusal_pauses_an_assistant_that_never_answered_and_no_other(scene: Scene) -> None:
    with structlog.testing.capture_logs() as lines:
        assert scene.refused("a") is AssistantPaused
        assert scene.refused("b") is AssistantPaused

    assert not scene.may_try("c")
    assert scene.may_try("c", BUYER)
    assert [(line["event"], line["assistant"], line["reason"]) for line in lines] == [
        ("assistant_paused", "analyst", "the key has no right")
    ]


def test_one_task_tries_when_the_pause_is_over_and_the_others_wait_for_it(scene: Scene) -> None:
    scene.refused("a")
    scene.pause_passes()

    assert scene.may_try("b")
    assert not scene.may_try("c")
    scene.answered("b")
    assert scene.may_try("c")


def test_a_trial_that_never_ends_holds_the_others_up_for_one_pause(scene: Scene) -> None:
    scene.refused("a")
    scene.pause_passes()
    assert scene.may_try("b")
    scene.pause_passes()

    assert scene.may_try("c")


def test_who_was_refused_lets_those_go_first_who_have_not_tried(scene: Scene) -> None:
    scene.refused("culprit")
    assert not scene.may_try("harmless")
    scene.pause_passes()

    assert not scene.may_try("culprit"), "though it is the oldest, and so comes first"
    assert scene.may_try("harmless")


def test_tasks_that_were_all_refused_take_turns(scene: Scene) -> None:
    scene.refused("a")
    scene.pause_passes()
    assert scene.may_try("b")
    scene.refused("b")
    scene.pause_passes()

    assert not scene.may_try("b")
    assert scene.may_try("a")
    scene.refused("a")
    scene.pause_passes()
    assert not scene.may_try("a")
    assert scene.may_try("b")


def test_the_only_one_there_tries_though_it_was_refused(scene: Scene) -> None:
    scene.refused("a")
    scene.pause_passes()

    assert scene.may_try("a")


def test_nobody_waits_long_for_those_who_do_not_come_back(scene: Scene) -> None:
    scene.refused("a")
    assert not scene.may_try("deleted meanwhile")
    scene.pause_passes()
    assert not scene.may_try("a")
    scene.time += 2 * SPREAD_SECONDS

    assert scene.may_try("a")


def test_who_is_refused_while_others_are_answered_fails_by_itself(scene: Scene) -> None:
    scene.refused("culprit")
    scene.pause_passes()
    assert scene.may_try("harmless")
    scene.answered("harmless")
    assert scene.may_try("culprit")

    told = scene.pauses.refused(ANALYST, "culprit", FORBIDDEN)

    assert isinstance(told, TurnedAway)
    assert "other tasks of this assistant are answered" in str(told)
    assert scene.may_try("harmless too"), "nobody else waits for it"


def test_who_failed_alone_does_so_again_only_if_others_are_answered_again(scene: Scene) -> None:
    scene.answered("harmless")
    assert scene.refused("culprit") is AssistantPaused
    scene.answered("harmless")
    assert scene.refused("culprit") is TurnedAway
    scene.answered("harmless")
    assert scene.refused("culprit") is TurnedAway

    assert scene.refused("culprit") is AssistantPaused, "nobody was answered since: it may be everybody"


def test_a_refusal_amid_answers_sends_that_task_away_and_pauses_nobody(scene: Scene) -> None:
    scene.answered("a")
    with structlog.testing.capture_logs() as lines:
        assert scene.refused("culprit") is AssistantPaused

    assert scene.may_try("b")
    assert lines == []


@pytest.mark.parametrize("second", ["another", "the same"])
def test_a_second_refusal_without_an_answer_in_between_pauses_the_assistant(scene: Scene, second: str) -> None:
    scene.answered("a")
    scene.refused("the same")

    assert scene.refused(second) is AssistantPaused
    assert not scene.may_try("b")


def test_a_page_costs_its_task_a_retry_and_holds_up_nobody(scene: Scene) -> None:
    for _ in range(5):
        assert scene.refused("culprit", PAGE) is TurnedAway
    assert scene.may_try("b")


def test_pages_for_many_tasks_at_once_pause_nobody_while_others_have_just_been_answered(scene: Scene) -> None:
    scene.answered("a")

    assert {scene.refused(task, PAGE) for task in "bcdefgh"} == {TurnedAway}


def test_pages_for_three_tasks_in_a_row_pause_the_assistant(scene: Scene) -> None:
    scene.answered("a")
    scene.time += QUIET_SECONDS + 1
    assert scene.refused("b", PAGE) is TurnedAway
    assert scene.refused("c", PAGE) is TurnedAway
    assert scene.refused("d", PAGE) is AssistantPaused
    assert scene.refused("e", PAGE) is AssistantPaused, "what was under way costs no retry now"

    assert not scene.may_try("f")


def test_pages_with_answers_in_between_pause_nobody(scene: Scene) -> None:
    for number in range(10):
        assert scene.refused(f"culprit {number}", PAGE) is TurnedAway
        scene.answered(f"harmless {number}")
    assert scene.may_try("a")


def test_pages_and_refusals_are_counted_apart(scene: Scene) -> None:
    scene.answered("a")
    scene.refused("b", PAGE)
    scene.refused("c", PAGE)

    assert scene.refused("d", FORBIDDEN) is AssistantPaused
    assert scene.may_try("e")


def test_who_is_known_to_be_refused_alone_is_no_trial_for_others(scene: Scene) -> None:
    scene.refused("culprit", PAGE)
    scene.answered("a")
    scene.refused("b")
    scene.refused("c")
    assert not scene.may_try("d")
    scene.pause_passes()

    assert not scene.may_try("culprit")
    assert scene.may_try("d")


def test_a_task_that_is_answered_is_no_suspect_any_more(scene: Scene) -> None:
    scene.answered("a")
    scene.refused("b")
    scene.answered("b")

    assert scene.refused("b") is AssistantPaused
    assert scene.may_try("c")


def test_what_is_remembered_is_bounded(scene: Scene) -> None:
    scene.refused("first")
    for number in range(3 * KNOWN):
        scene.may_try(f"waits {number}")
        scene.refused(f"refused {number}")
    scene.answered("a")

    standing = scene.pauses._standing(ANALYST)
    assert max(len(names) for names in (standing.refused, standing.alone, standing.waiting)) <= KNOWN
