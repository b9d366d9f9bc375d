"""What becomes of an ask whose turn has ended, and the one table that decides it. Pure."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from worker.domain.asks import State
from worker.domain.threads import Answer, Outcome
from worker.errors import (
    CallsSpent,
    EngineDown,
    NewerRecord,
    Stopping,
    StoreDown,
    ThreadGone,
    TranscriptDown,
    Transient,
    WorkerError,
)

BUSY_FOR: Final = timedelta(seconds=1)
"""Before an ask tries again whose thread is in use."""
AWAY_FOR: Final = timedelta(seconds=5)
LATER_FOR: Final = timedelta(seconds=20)
LONGEST: Final = 500
"""Characters of what a person is told."""


@dataclass(frozen=True, slots=True)
class Settled:
    """It is over. `answer` is the id of the message that answers it."""

    state: State
    failure: str = ""
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Later:
    """It waits, and has cost nothing; `reason` says for what. `begun`: its worker began with it, and outlived it."""

    pause: timedelta
    reason: str
    begun: bool = True


After = Settled | Later

BUSY: Final = Later(BUSY_FOR, "thread busy", begun=False)
"""Another request has the thread, or another worker may be asking this very question."""


def on_error(error: WorkerError, trouble_for: timedelta, trouble_limit: timedelta) -> After:
    """Decide what becomes of an ask whose turn ended in an error. The first row that fits counts."""
    match error:
        case Stopping():
            return Later(timedelta(0), "stopping")
        case StoreDown() | EngineDown() | TranscriptDown() | NewerRecord():
            return Later(AWAY_FOR, str(error))
        case CallsSpent():
            return _failed("the model was called as often as may be paid for, and no usable answer came")
        case Transient() | ThreadGone():
            if error.is_trouble and trouble_for >= trouble_limit:
                return _failed(str(error))
            wish = error.retry_after if isinstance(error, Transient) else None
            return Later(wish or LATER_FOR, str(error))
    return _failed(str(error))


def on_answer(answer: Answer, message: str) -> Settled:
    """Decide what becomes of an ask that has an answer, whose message has this id."""
    # A refusal is said to the person in words, as an answer is.
    if answer.outcome in {Outcome.OK, Outcome.REFUSED}:
        return Settled(State.ANSWERED, answer=message)
    detail = f" ({answer.detail})" if answer.detail else ""
    return Settled(State.FAILED, f"the answer is {answer.outcome.value}{detail}"[:LONGEST], message)


def _failed(why: str) -> Settled:
    return Settled(State.FAILED, why[:LONGEST])
