"""What becomes of an ask, by what its turn met."""

from datetime import timedelta

import pytest

from worker.chat.outcomes import AWAY_FOR, LATER_FOR, Later, Settled, on_error
from worker.domain.asks import State
from worker.errors import (
    AssistantPaused,
    BadRequest,
    CallsSpent,
    EngineDown,
    LimitReached,
    ModelDown,
    ModelUnknown,
    NewerRecord,
    OverBudget,
    Stopping,
    StoreDown,
    ThreadLocked,
    TranscriptDown,
    TurnedAway,
    UnknownAssistant,
    WorkerError,
)

HOUR = timedelta(hours=1)
SOON = timedelta(seconds=3)


@pytest.mark.parametrize(
    ("error", "pause"),
    [
        (Stopping("no"), timedelta(0)),
        (StoreDown("no"), AWAY_FOR),
        (EngineDown("no"), AWAY_FOR),
        (TranscriptDown("no"), AWAY_FOR),
        (NewerRecord("it"), AWAY_FOR),
        (LimitReached("no", retry_after=SOON), SOON),
        (AssistantPaused("no", retry_after=SOON), SOON),
        (ModelDown("no"), LATER_FOR),
        (ModelUnknown("no"), LATER_FOR),
        (ThreadLocked("no", retry_after=SOON), SOON),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_passes_is_waited_for(error: WorkerError, pause: timedelta) -> None:
    after = on_error(error, timedelta(0), HOUR)
    assert isinstance(after, Later)
    assert after.pause == pause


@pytest.mark.parametrize("error", [ModelDown("no"), ModelUnknown("no"), ThreadLocked("no")])
def test_trouble_that_lasts_is_said(error: WorkerError) -> None:
    assert on_error(error, HOUR, HOUR) == Settled(State.FAILED, "no")


def test_a_provider_that_is_away_is_waited_for_however_long() -> None:
    assert isinstance(on_error(AssistantPaused("no"), HOUR, HOUR), Later)


@pytest.mark.parametrize("error", [OverBudget("no"), BadRequest("no"), TurnedAway("no"), UnknownAssistant("no")])
def test_what_no_repeat_mends_is_said(error: WorkerError) -> None:
    assert on_error(error, timedelta(0), HOUR) == Settled(State.FAILED, "no")


def test_a_person_is_told_nothing_of_tasks_and_their_retries() -> None:
    after = on_error(CallsSpent("service.calls, retries"), timedelta(0), HOUR)
    assert isinstance(after, Settled)
    assert "retries" not in after.failure
    assert "service" not in after.failure
