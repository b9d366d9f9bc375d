"""What the engine is to be told about a task, and the one table that decides it. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from worker.domain.handled import Completed, Failed, Handled, Raised, Thrown
from worker.domain.tasks import LONGEST_MESSAGE, Variable
from worker.domain.threads import Answer, Outcome
from worker.errors import (
    AssistantElsewhere,
    AssistantPaused,
    BadDefinition,
    BadInput,
    BrokenOff,
    EngineDown,
    Forbidden,
    LimitReached,
    NewerRecord,
    OverBudget,
    Permanent,
    Poisonous,
    ProviderAway,
    ProviderPaused,
    StoppedByOperator,
    Stopping,
    StoreDown,
    TaskLost,
    TaskSuspended,
    ThreadGone,
    ThreadLocked,
    TranscriptDown,
    Transient,
    TurnedAway,
    UnknownAssistant,
    WorkerError,
)


@dataclass(frozen=True, slots=True)
class Complete:
    """The answer is ready; `local` are variables of the activity only.

    `wider` makes the same result in types without a length limit, for a database that does not take it otherwise.
    """

    variables: Mapping[str, Variable]
    local: Mapping[str, Variable] = field(default_factory=dict)
    wider: "Callable[[], Complete] | None" = None


@dataclass(frozen=True, slots=True)
class Fail:
    """A failure report. `drops_answer`: it comes from the answer itself, so a Retry must ask anew.

    `cost` is how many retries it takes from those that the engine has; None: there are to be `retries`, come what may.
    `reason` is one word for the log: the message may quote what the engine said, and with it a variable.
    """

    message: str
    details: str
    retries: int
    delay: timedelta
    reason: str
    drops_answer: bool = False
    cost: int | None = None

    def after(self, now: int) -> "Fail":
        """Take what it costs from the retries that somebody has set meanwhile."""
        return self if self.cost is None else replace(self, retries=max(0, now - self.cost))

    def plainer(self) -> "Fail":
        """Say it without details, in letters that every database takes."""
        return replace(self, message=re.sub(r"[^ -~]", "?", self.message), details="")


@dataclass(frozen=True, slots=True)
class BpmnError:
    """A business outcome that the model catches."""

    code: str
    message: str
    variables: Mapping[str, Variable] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unlock:
    """Give the task back at once, as if it had never been fetched."""

    reason: str


@dataclass(frozen=True, slots=True)
class Park:
    """Leave the task locked for a while and forget it: it comes back by itself, to anybody, without a trace."""

    duration: timedelta
    reason: str


@dataclass(frozen=True, slots=True)
class Abandon:
    """Tell the engine nothing."""

    reason: str


Verdict = Complete | Fail | BpmnError | Unlock | Park | Abandon


@dataclass(frozen=True, slots=True)
class Case:
    """What is known of a task when its turn ends without a usable answer.

    `retries` is what the engine has left, `retry_delay` the task's own wish, `trouble_for` how long it has been failing
    for reasons not its own, and `roll` a random number from 0 to 1 that spreads repeats. `keeps` says that its
    answer is kept; of what a function did nothing is, so that each repeat of its task does it once more.
    """

    activity: str
    assistant: str
    retries: int
    first_attempt: bool
    retry_delay: timedelta | None = None
    trouble_for: timedelta = timedelta(0)
    roll: float = 0.5
    keeps: bool = True


PARKED_FOR = timedelta(seconds=30)
"""How long a task is left to its lock that waits for something which tells no time of its own."""
PAUSED_FOR = timedelta(seconds=60)
"""Until a provider that refuses is asked once more."""
STOPPED_FOR = timedelta(seconds=20)
"""The longest that a task takes to be there again after the stop that it met."""
ELSEWHERE_FOR = timedelta(seconds=20)
"""On average. Spread by as much as the longest poll, or workers whose polls keep step would always hand it to one."""
LOOKUP_TRIES = 3
LOOKUP_DELAY = timedelta(seconds=30)
SHORTEST_DELAY = timedelta(seconds=5)
LONGEST_DELAY = timedelta(minutes=5)


def on_error(error: Exception, case: Case, *, trouble_limit: timedelta) -> Verdict:  # noqa: C901, PLR0911, PLR0912 - a table, one row per error
    """Decide what the engine is told when a turn ended in an error."""
    # The first row that fits counts: most of those above `Transient` are of its kind.
    match error:
        case Stopping():
            return Unlock("stopping")
        case TaskLost():
            return Abandon("the task is not ours any more")
        case TaskSuspended():
            return Abandon("the task is suspended")
        # What is away has been noted before this is told, so that this worker does not fetch the task again at once.
        case EngineDown() | StoreDown() | ProviderAway():
            return Unlock(str(error))
        # Not unlocked: where other assistants' tasks go on, the next poll would bring it back at once.
        case ProviderPaused() | AssistantPaused():
            return Park(error.retry_after or PAUSED_FOR, "provider paused")
        case LimitReached():
            return Park(error.retry_after or PARKED_FOR, "rate limit")
        case StoppedByOperator() | BrokenOff():
            return Park(STOPPED_FOR * (1 + case.roll) / 2, "stopped")
        case AssistantElsewhere():
            return Park(ELSEWHERE_FOR * (0.5 + case.roll), "assistant elsewhere")
        # A thread that stays locked comes to `Transient` in the end, which costs retries.
        case ThreadLocked() if case.trouble_for < trouble_limit:
            return Park(error.retry_after or PARKED_FOR, "thread locked")
        case NewerRecord():
            return Park(PARKED_FOR, "newer record")
        case TranscriptDown():
            return Park(PARKED_FOR, "transcript away")
        case Transient() | ThreadGone():
            return _later(error, case, trouble_limit)
        case UnknownAssistant():
            what = (
                f"{error}. Add its spec to ASSISTANTS_DIR, or deploy a corrected model and migrate this instance to it."
            )
            tries = LOOKUP_TRIES if case.first_attempt else min(case.retries, LOOKUP_TRIES)
            return _fail(replace(case, retries=tries), what, error, cost=1, delay=LOOKUP_DELAY)
        case TurnedAway():
            return _fail(case, f"{error}.", error, cost=1, delay=_wish(case))
        case Poisonous():
            return _fail(case, f"{error}.", error, cost=1, delay=LOOKUP_DELAY)
        case BadInput():
            return _fail(case, f"{error}. Correct the variable, then set the retries again.", error)
        case BadDefinition():
            advice = "deploy a corrected one and migrate it, then set the retries again."
            return _fail(case, f"{error}. This instance keeps its version of the model: {advice}", error)
        case Permanent():
            return _fail(case, f"{error}. Correct it, then set the retries again.", error)
        case _:
            what = f"the worker met a {type(error).__name__}, which it should not. Its log has the trace."
            return _fail(case, what, error, cost=1, delay=_wish(case))


def on_handled(handled: Handled, case: Case) -> Complete | Fail | BpmnError:
    """Decide what the engine is told of what a function made of a task. A failure of its own says what is left."""
    match handled:
        case Completed():
            return Complete(handled.variables, handled.local)
        case Thrown():
            return BpmnError(handled.code, handled.message, handled.variables)
        case Failed():
            message = _short(handled.message, LONGEST_MESSAGE)
            return Fail(message, handled.details, handled.retries, handled.delay, "failure")
        case Raised():
            text = _message(case, handled.message)
            return Fail(text, handled.details, max(0, case.retries - 1), _wish(case), handled.reason, cost=1)


def on_answer(answer: Answer, case: Case, codes: Mapping[Outcome, str]) -> Fail | BpmnError:
    """Decide what the engine is told when the answer is not usable."""
    outcome = answer.outcome
    detail = f" ({answer.detail})" if answer.detail else ""
    what = f"the answer is {outcome.value}{detail}"
    if outcome in codes:
        return BpmnError(codes[outcome], _message(case, what))
    advice = f"Retry asks anew; to handle it in the model, set the property error.{outcome.value}."
    text = _message(case, f"{what}. {advice}")
    return Fail(text, text, max(0, case.retries - 1), _wish(case), outcome.value, drops_answer=True, cost=1)


def on_unsure(unsure: Sequence[str], case: Case, code: str, variables: Mapping[str, Variable]) -> BpmnError:
    """Hand answers to decision questions to whoever catches that they are not sure enough; they are paid for."""
    return BpmnError(code, _message(case, f"the answer is unsure ({_short(', '.join(unsure), 200)})"), variables)


def on_over_budget(error: OverBudget, case: Case, codes: Mapping[Outcome, str]) -> Fail | BpmnError:
    """Decide what the engine is told when a budget does not allow the call."""
    if Outcome.OVER_BUDGET in codes:
        return BpmnError(codes[Outcome.OVER_BUDGET], _message(case, str(error)))
    return _fail(case, f"{error}. To handle it in the model, set the property error.over_budget.", error)


def on_suspended(case: Case) -> Abandon:
    """Leave a result whose task is suspended, of which nothing can be told until that is resumed.

    Whoever fetches the task then finds an answer in the journal, and asks nothing.
    """
    then = "the answer is kept" if case.keeps else "its function has run, and runs again when that is resumed"
    return Abandon(f"the task is suspended; {then}")


def on_too_long(error: Exception, case: Case) -> Fail:
    """Decide what the engine is told when its database takes the result in no type."""
    what = f"the result is too long for the engine's database: {error}. "
    if not case.keeps:
        return _has_run(error, what + "Let the function return less; ", case)
    advice = "Set data.output.type=File, or ask for a shorter answer; Retry completes without asking again."
    return _fail(case, what + advice, error)


def on_refusal(error: Exception, case: Case) -> Fail:
    """Decide what the engine is told when it keeps refusing a result."""
    advice = "Look at the step after it (expressions, scripts, listeners) and at the type of the result; "
    what = f"the engine refused the result: {error}. {_advice(error, advice)}"
    if not case.keeps:
        return _has_run(error, what, case)
    return _fail(case, f"{what}Retry completes without asking again.", error, cost=1, delay=_wish(case))


def on_refused_error(error: Exception, code: str, case: Case) -> Fail:
    """Decide what the engine is told when it keeps refusing a BPMN error."""
    advice = (
        "Output mappings run on a BPMN error too, where there is no result: let them cope with that. Look also at the "
        "step after the event that catches it; "
    )
    what = f"the engine refused the BPMN error {_short(code, 100)}: {error}. {_advice(error, advice)}"
    if not case.keeps:
        return _has_run(error, what, case)
    return _fail(case, f"{what}Retry throws it again without asking.", error, cost=1, delay=_wish(case))


def _has_run(error: Exception, what: str, case: Case) -> Fail:
    """Leave it to a person whether a function that has run, and may have paid, is to run again."""
    return _fail(case, f"{what}Retry runs the function again, which has run.", error)


def _advice(error: Exception, advice: str) -> str:
    """Leave the advice out where the error's own text says what to do."""
    return "" if isinstance(error, Forbidden) else advice


def _later(error: Transient | ThreadGone, case: Case, trouble_limit: timedelta) -> Fail:
    spent = case.trouble_for >= trouble_limit
    ends = spent and case.retries <= 1
    then = "when that is mended, set the retries again" if ends else "it is tried again by itself"
    what = f"{error}. This says nothing about the task; {then}."
    wish = error.retry_after if isinstance(error, Transient) else None
    return _fail(case, what, error, cost=int(spent), delay=wish or _delay(case))


def _wish(case: Case) -> timedelta:
    """Wait as long as the task says before it is tried again for what is its own fault."""
    return _delay(case) if case.retry_delay is None else case.retry_delay


def _delay(case: Case) -> timedelta:
    """Spread repeats: longer the longer the trouble lasts, never the same for two tasks."""
    most = min(max(2 * SHORTEST_DELAY, case.trouble_for), LONGEST_DELAY)
    return SHORTEST_DELAY + case.roll * (most - SHORTEST_DELAY)


def _fail(case: Case, what: str, error: Exception, *, cost: int | None = None, delay: timedelta = timedelta(0)) -> Fail:
    """Fail at the cost of so many retries; of all of them where none is said."""
    retries = 0 if cost is None else max(0, case.retries - cost)
    return Fail(_message(case, what), _chain(error), retries, delay, type(error).__name__, cost=cost)


def _message(case: Case, what: str) -> str:
    """Keep place, assistant, fault and advice inside what engines keep: the middle of each long part goes."""
    whose = f", assistant {_short(case.assistant, 100)}" if case.assistant else ""
    return _short(f"{_short(case.activity, 150)}{whose}: {what}", LONGEST_MESSAGE)


def _short(text: str, longest: int) -> str:
    """Shorten, counting as Java does, where an emoji is two; half characters vanish."""
    units = text.encode("utf-16-le", "surrogatepass")
    if len(units) <= 2 * longest:
        return text
    half = longest // 2 - 2
    return f"{units[: 2 * half].decode('utf-16-le', 'ignore')} … {units[-2 * half :].decode('utf-16-le', 'ignore')}"


def _chain(error: BaseException | None) -> str:
    """Name every cause. Only our own errors say more than their type: a library's text may quote a message."""
    lines = []
    while error is not None:
        lines.append(f"{type(error).__name__}: {error}" if isinstance(error, WorkerError) else type(error).__name__)
        error = error.__cause__
    return "\ncaused by ".join(lines)
