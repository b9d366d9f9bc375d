"""The table of verdicts: what the engine is told about a task whose turn brought no result."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any, cast, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.samples import TASK
from worker import errors
from worker.domain.threads import Answer, Outcome
from worker.errors import (
    AssistantElsewhere,
    AssistantPaused,
    BadDefinition,
    BadInput,
    BadRequest,
    BrokenOff,
    CallsSpent,
    Conflict,
    EngineDenied,
    EngineDown,
    Forbidden,
    ModelDown,
    ModelUnknown,
    NewerRecord,
    Permanent,
    Poisonous,
    ProviderPaused,
    ReadRefused,
    Refused,
    StoppedByOperator,
    Stopping,
    StoreDown,
    TaskLost,
    TaskSuspended,
    ThreadGone,
    ThreadLocked,
    TooLong,
    Transient,
    TurnedAway,
    UnknownAssistant,
    WorkerError,
)
from worker.turn import verdict
from worker.turn.facts import TurnFacts
from worker.turn.request import Ground, Rules
from worker.turn.task_turn import Turn
from worker.turn.verdict import (
    Abandon,
    BpmnError,
    Case,
    Fail,
    Park,
    Unlock,
    Verdict,
    on_answer,
    on_error,
    on_refusal,
    on_refused_error,
    on_suspended,
    on_too_long,
)

HOUR = timedelta(hours=1)
CASE = Case(activity='"Frame the decision" (frame)', assistant="analyst 1.0", retries=3, first_attempt=True)
HAS_RUN = replace(CASE, assistant="", keeps=False)
BAD_OUTCOMES = [outcome for outcome in Outcome if outcome is not Outcome.OK]
OUTAGES = [Transient, Conflict, ModelDown, ModelUnknown]

ANY_TEXT = st.text(st.characters(), max_size=40) | st.sampled_from(["x" * 5000, "😀" * 700, "ü" * 666, "\0\n" * 400])
CASES = st.builds(
    Case,
    activity=ANY_TEXT,
    assistant=ANY_TEXT,
    retries=st.integers(0, 2**31 - 1),
    first_attempt=st.booleans(),
    trouble_for=st.timedeltas(-HOUR, timedelta(days=400)),
    roll=st.floats(0, 1),
    keeps=st.booleans(),
)
ERRORS = st.sampled_from(
    [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, WorkerError)]
    + [ValueError, RuntimeError]
)


def told(error: Exception, case: Case = CASE) -> Verdict:
    return on_error(error, case, trouble_limit=HOUR)


def failure(error: Exception, case: Case = CASE) -> Fail:
    outcome = told(error, case)
    assert isinstance(outcome, Fail)
    return outcome


def utf16_units(text: str) -> int:
    """Characters as Java counts them."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Stopping("stop"), Unlock("stopping")),
        (TaskLost("gone"), Abandon("the task is not ours any more")),
        (TaskSuspended("suspended"), Abandon("the task is suspended")),
        (EngineDown("no answer"), Unlock("no answer")),
        (EngineDenied("401"), Unlock("401")),
        (StoreDown("no Redis"), Unlock("no Redis")),
        (NewerRecord("this turn"), Park(timedelta(seconds=30), "newer record")),
        (ProviderPaused("no quota"), Park(timedelta(seconds=60), "provider paused")),
        (AssistantPaused("no right"), Park(timedelta(seconds=60), "provider paused")),
        (StoppedByOperator("no"), Park(timedelta(seconds=15), "stopped")),
        (AssistantElsewhere("no version"), Park(timedelta(seconds=20), "assistant elsewhere")),
        (BrokenOff("no"), Park(timedelta(seconds=15), "stopped")),
        (ThreadLocked("busy"), Park(timedelta(seconds=30), "thread locked")),
        (ThreadLocked("busy", retry_after=timedelta(seconds=7)), Park(timedelta(seconds=7), "thread locked")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_the_tasks_fault_leaves_no_trace_on_it(error: Exception, expected: Verdict) -> None:
    assert told(error) == expected
    long = timedelta(seconds=-1) + HOUR if isinstance(error, ThreadLocked) else 30 * HOUR
    assert told(error, replace(CASE, retries=0, trouble_for=long)) == expected


@pytest.mark.parametrize("kind", OUTAGES)
@pytest.mark.parametrize("retries", [0, 1, 3, 17])
def test_an_outage_costs_no_retry(kind: type[Transient], retries: int) -> None:
    outcome = failure(kind("503"), replace(CASE, retries=retries, trouble_for=HOUR - timedelta(seconds=1)))

    assert outcome.retries == retries
    assert outcome.delay > timedelta(0)
    assert not outcome.drops_answer
    assert "says nothing about the task" in outcome.message


@pytest.mark.parametrize("kind", [*OUTAGES, ThreadGone, ThreadLocked])
@pytest.mark.parametrize(("retries", "left"), [(3, 2), (1, 0), (0, 0)])
def test_an_outage_that_lasts_costs_one(kind: type[Exception], retries: int, left: int) -> None:
    outcome = failure(kind("503"), replace(CASE, retries=retries, trouble_for=HOUR))
    assert outcome.retries == left
    assert outcome.message.endswith("by itself." if left else "set the retries again.")


@pytest.mark.parametrize(("retries", "left"), [(3, 2), (1, 0), (0, 0)])
def test_a_request_that_was_turned_away_costs_its_task_one_retry(retries: int, left: int) -> None:
    outcome = failure(TurnedAway("a page came: look at the firewall"), replace(CASE, retries=retries))

    assert outcome.retries == left
    assert not outcome.drops_answer
    assert "a page came: look at the firewall." in outcome.message


def test_a_thread_that_is_gone_twice_in_one_turn_costs_no_retry() -> None:
    assert failure(ThreadGone("404")).retries == 3


@pytest.mark.parametrize("wish", [timedelta(seconds=2), timedelta(seconds=300), timedelta(hours=1)])
def test_the_providers_wish_is_the_delay(wish: timedelta) -> None:
    assert failure(ModelDown("429", retry_after=wish)).delay == wish


@given(CASES)
def test_repeats_without_a_wish_are_spread_and_bounded(case: Case) -> None:
    soonest, delay, latest = (
        failure(ModelDown("503"), replace(case, roll=roll)).delay for roll in (0.0, case.roll, 1.0)
    )

    assert timedelta(seconds=5) == soonest <= delay <= latest <= timedelta(minutes=5)
    assert latest >= 2 * soonest


def test_repeats_slow_down_while_the_trouble_lasts() -> None:
    lasts = [timedelta(0), timedelta(seconds=30), timedelta(minutes=2), HOUR]
    delays = [failure(ModelDown("503"), replace(CASE, trouble_for=each, roll=1.0)).delay for each in lasts]

    assert delays == [timedelta(seconds=10), timedelta(seconds=30), timedelta(minutes=2), timedelta(minutes=5)]


def test_an_assistant_that_another_worker_may_know_is_tried_three_times_30_seconds_apart() -> None:
    error = UnknownAssistant('no assistant "analist"; there is analyst 1.0')
    case, seen = CASE, []
    for _ in range(3):
        outcome = failure(error, case)
        seen.append((outcome.retries, outcome.delay))
        case = replace(case, retries=outcome.retries, first_attempt=False)

    assert seen == [(left, timedelta(seconds=30)) for left in (2, 1, 0)]


def test_retries_that_the_process_sets_higher_make_no_more_look_ups() -> None:
    assert failure(UnknownAssistant("?"), replace(CASE, retries=50, first_attempt=False)).retries == 2
    assert failure(UnknownAssistant("?"), replace(CASE, retries=50)).retries == 2


def test_unknown_assistant_says_what_to_do() -> None:
    message = failure(UnknownAssistant('no assistant "analist"')).message

    assert 'no assistant "analist"' in message
    assert "Add its spec to ASSISTANTS_DIR" in message
    assert "or deploy a corrected model and migrate this instance to it" in message


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        (Permanent, "Correct it, then set the retries again."),
        (CallsSpent, "Correct it, then set the retries again."),
        (BadRequest, "Correct it, then set the retries again."),
        (BadInput, "Correct the variable, then set the retries again."),
        (
            BadDefinition,
            "This instance keeps its version of the model: deploy a corrected one and migrate it, then set the retries",
        ),
    ],
)
def test_what_a_person_must_correct_is_an_incident_at_once_that_says_where(kind: type[Permanent], advice: str) -> None:
    outcome = failure(kind("property data.output.type is 'Xml'"), replace(CASE, retries=9))

    assert outcome.retries == 0
    assert f"data.output.type is 'Xml'. {advice}" in outcome.message


@pytest.mark.parametrize("error", [RuntimeError("secret"), Refused("400"), TooLong("10002")], ids=repr)
@pytest.mark.parametrize(("retries", "left"), [(3, 2), (1, 0), (0, 0)])
def test_what_should_not_happen_costs_a_retry_and_names_its_kind(error: Exception, retries: int, left: int) -> None:
    outcome = failure(error, replace(CASE, retries=retries))

    assert outcome.retries == left
    assert type(error).__name__ in outcome.message
    assert "secret" not in outcome.message + outcome.details


@pytest.mark.parametrize(("retries", "left"), [(3, 2), (1, 0), (0, 0)])
def test_a_task_under_which_workers_died_costs_one_retry_only_as_it_may_be_a_neighbours_fault(
    retries: int, left: int
) -> None:
    outcome = failure(Poisonous("3 workers in a row ended without a word"), replace(CASE, retries=retries))

    assert (outcome.retries, outcome.delay, outcome.drops_answer) == (left, timedelta(seconds=30), False)
    assert "3 workers in a row ended without a word" in outcome.message


@pytest.mark.parametrize("outcome", BAD_OUTCOMES)
def test_a_bad_answer_is_the_business_error_that_the_task_names(outcome: Outcome) -> None:
    said = on_answer(Answer("no", outcome, "max_output_tokens"), CASE, {outcome: "TOO_HARD"})

    assert isinstance(said, BpmnError)
    assert said.code == "TOO_HARD"
    assert f"the answer is {outcome.value} (max_output_tokens)" in said.message


@pytest.mark.parametrize("outcome", BAD_OUTCOMES)
@pytest.mark.parametrize(("retries", "left"), [(3, 2), (1, 0), (0, 0)])
def test_a_bad_answer_without_a_code_costs_a_retry_and_is_dropped(outcome: Outcome, retries: int, left: int) -> None:
    others: dict[Outcome, str] = {other: "OTHER" for other in BAD_OUTCOMES if other is not outcome}
    said = on_answer(Answer("secret", outcome), replace(CASE, retries=retries), others)

    assert isinstance(said, Fail)
    assert (said.retries, said.drops_answer) == (left, True)
    assert f"error.{outcome.value}" in said.message, "how to handle it in the model"
    assert "secret" not in said.message + said.details


@pytest.mark.parametrize(("retries", "left"), [(3, 2), (1, 0), (0, 0)])
def test_a_result_that_the_engine_refuses_costs_a_retry_and_keeps_the_answer(retries: int, left: int) -> None:
    said = on_refusal(Refused("500 ProcessEngineException"), replace(CASE, retries=retries))

    assert (said.retries, said.drops_answer) == (left, False)
    assert "the engine refused the result: 500 ProcessEngineException" in said.message
    assert "the step after it" in said.message
    assert said.message.endswith("Retry completes without asking again.")


@pytest.mark.parametrize(("retries", "left"), [(3, 2), (1, 0), (0, 0)])
def test_a_bpmn_error_that_the_engine_refuses_costs_a_retry_and_keeps_the_answer(retries: int, left: int) -> None:
    said = on_refused_error(Refused("500 ProcessEngineException"), "NO_REVIEW", replace(CASE, retries=retries))

    assert (said.retries, said.drops_answer) == (left, False)
    assert "the engine refused the BPMN error NO_REVIEW: 500 ProcessEngineException" in said.message
    assert "Output mappings run on a BPMN error too" in said.message
    assert said.message.endswith("Retry throws it again without asking.")


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (on_refusal(Refused("500"), HAS_RUN), "the engine refused the result: 500. Look at the step after it"),
        (on_refused_error(Refused("500"), "NO", HAS_RUN), "the engine refused the BPMN error NO: 500. Output mappings"),
        (
            on_too_long(TooLong("500"), HAS_RUN),
            "the result is too long for the engine's database: 500. Let the function",
        ),
    ],
)
def test_what_a_function_did_is_no_answer_that_is_kept_and_a_person_decides(said: Fail, fault: str) -> None:
    assert (said.retries, said.cost, said.delay) == (0, None, timedelta(0))
    assert fault in said.message
    assert said.message.endswith("; Retry runs the function again, which has run.")


def test_of_a_suspended_task_an_answer_is_kept_and_a_function_runs_again() -> None:
    assert on_suspended(CASE) == Abandon("the task is suspended; the answer is kept")
    assert "runs again" in on_suspended(HAS_RUN).reason


def test_a_right_that_is_missing_says_itself_what_to_do() -> None:
    denied = Forbidden("the engine denies us a right: 403; grant it to the worker's user")

    for said in (on_refusal(denied, CASE), on_refused_error(denied, "NO", CASE)):
        assert "grant it to the worker's user. Retry" in said.message


def test_a_read_that_the_engine_refuses_is_an_incident_at_once_with_its_words() -> None:
    said = on_error(ReadRefused("the variable 'plan' cannot be read: 403"), CASE, trouble_limit=HOUR)

    assert isinstance(said, Fail)
    assert said.retries == 0
    assert "the variable 'plan' cannot be read: 403. Correct it, then set the retries again." in said.message


def test_a_failure_can_be_said_in_plain_letters() -> None:
    said = Fail("Prüfen\0\n", "details", 2, timedelta(seconds=5), "Refused", drops_answer=True)

    assert said.plainer() == replace(said, message="Pr?fen??", details="")
    assert said.plainer().plainer() == said.plainer()


def test_a_result_that_fits_no_column_is_an_incident_that_keeps_the_answer() -> None:
    said = on_too_long(TooLong("500 ProcessEngineException, code 10002"), CASE)

    assert (said.retries, said.drops_answer) == (0, False)
    assert "code 10002" in said.message


@given(CASES, ERRORS, ANY_TEXT)
def test_every_message_fits_the_engine(case: Case, kind: type[Exception], text: str) -> None:
    outcome = told(kind(text), case)
    if isinstance(outcome, Fail):
        assert utf16_units(outcome.message) <= 666
        assert outcome.retries >= 0
        assert outcome.delay >= timedelta(0)


@given(CASES, st.sampled_from(BAD_OUTCOMES), ANY_TEXT, st.booleans())
def test_every_message_of_a_bad_answer_fits_the_engine(case: Case, outcome: Outcome, detail: str, named: bool) -> None:
    codes: Mapping[Outcome, str] = {outcome: "CODE"} if named else {}
    assert utf16_units(on_answer(Answer("", outcome, detail), case, codes).message) <= 666
    assert utf16_units(on_refusal(Refused(detail), case).message) <= 666
    assert utf16_units(on_too_long(TooLong(detail), case).message) <= 666


HUGE = "x" * 4000


@pytest.mark.parametrize(
    ("activity", "assistant", "text"),
    [(HUGE, "analyst", "broken"), ("frame", HUGE, "broken"), ("frame", "analyst", HUGE), (HUGE, HUGE, HUGE)],
    ids=["activity", "assistant", "error", "all"],
)
def test_place_assistant_fault_and_advice_survive_a_huge_text(activity: str, assistant: str, text: str) -> None:
    case = replace(CASE, activity=f"A{activity}", assistant=f"B{assistant}")
    message = failure(BadDefinition(f"C{text}"), case).message

    assert message.startswith(f"A{activity}"[:40])
    assert f"assistant B{assistant}"[:40] in message
    assert f": C{text}"[:40] in message
    assert message.endswith("migrate it, then set the retries again.")


def chained(*links: Exception) -> Exception:
    for error, cause in pairwise(links):
        error.__cause__ = cause
    return links[0]


def test_details_name_every_cause_but_quote_only_our_own() -> None:
    error = chained(BadRequest("model not found"), ModelDown("404"), ValueError("the secret text"), KeyError("more"))

    assert failure(error).details.splitlines() == [
        "BadRequest: model not found",
        "caused by ModelDown: 404",
        "caused by ValueError",
        "caused by KeyError",
    ]


def test_details_of_a_foreign_error_are_its_kind() -> None:
    assert failure(RuntimeError("the secret text")).details == "RuntimeError"


RULES = Rules("default", strict=True, retries=5, trouble_limit=HOUR, lease=timedelta(seconds=30), input_tokens=1000)
NOBODY = cast("Any", None)
"""Nothing outside is needed to say what is known of a task."""


@pytest.mark.parametrize(("retries", "left", "first"), [(None, 5, True), (0, 0, False), (2, 2, False)])
def test_a_task_that_never_failed_has_the_retries_of_the_settings(retries: int | None, left: int, first: bool) -> None:
    turn = Turn(
        NOBODY,
        NOBODY,
        NOBODY,
        Ground(NOBODY, RULES, lambda: False, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY),
        NOBODY,
        NOBODY,
    )
    case = turn.case(replace(TASK, retries=retries), TurnFacts("frame", "analyst", "1.0"))

    assert (case.retries, case.first_attempt, case.assistant) == (left, first, "analyst 1.0")
    assert 0 <= case.roll <= 1


def test_every_verdict_is_one_of_six() -> None:
    names = [kind.__name__ for kind in get_args(verdict.Verdict)]
    assert names == ["Complete", "Fail", "BpmnError", "Unlock", "Park", "Abandon"]
