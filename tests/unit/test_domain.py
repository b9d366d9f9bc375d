"""The words of the worker: refs, questions, thread keys."""

import dataclasses
import inspect
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.samples import ACTIVITY, LONE_SURROGATE
from worker.domain import conversations, endings, tasks, threads
from worker.domain.processes import definition
from worker.domain.refs import ref_line
from worker.domain.threads import Question, ThreadKey, ref

ANY_TEXT = st.text(st.characters())
"""With lone surrogates, which JSON can carry and UTF-8 cannot."""


KEY = ThreadKey("default", "3f1c", "analyst")


def test_ref_of_a_task_never_changes() -> None:
    # Refs stand on threads that outlive any version of the worker.
    assert ref(KEY, "6c1bd2e4-c6e1-11f0-9c8f-0242ac110002", 1) == "469eeb53b294"


@given(ANY_TEXT, ANY_TEXT, st.integers(1, 10**9))
def test_ref_is_twelve_hex_digits_of_any_id(scope: str, task_id: str, attempt: int) -> None:
    assert re.fullmatch("[0-9a-f]{12}", ref(ThreadKey("e", scope, "a"), task_id, attempt))


def test_every_attempt_of_every_task_has_its_own_ref() -> None:
    refs = {ref(KEY, f"task-{number}", attempt) for number in range(100) for attempt in range(1, 11)}
    assert len(refs) == 1000


def test_tasks_of_two_engines_that_count_their_ids_have_refs_of_their_own() -> None:
    keys = [
        ThreadKey("one", "42", "analyst"),
        ThreadKey("two", "42", "analyst"),
        ThreadKey("one", "42", "analyst", "north"),
        ThreadKey("one", "42", "critic"),
        ThreadKey("one", "task:42", "analyst"),
    ]
    assert len({ref(key, "42", 1) for key in keys}) == len(keys)


@given(ANY_TEXT)
def test_ref_is_the_last_line_of_a_question_whatever_the_text_ends_with(text: str) -> None:
    question = Question(f"{text}\n{ref_line('ffffffffffff')}", "0123456789ab").with_ref

    assert question.splitlines()[-1] == "(ref 0123456789ab)"
    assert question.startswith(text), "the text stays as it is"


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT, st.none() | ANY_TEXT)
def test_metadata_of_any_thread_fit_the_provider(engine: str, scope: str, assistant: str, tenant: str | None) -> None:
    metadata = ThreadKey(engine, 10 * scope, assistant, tenant).metadata()

    assert all(len(value) <= 512 for value in metadata.values())
    assert {"engine", "tenant", "scope", "assistant"} == metadata.keys()


@pytest.mark.parametrize("filler", ["x", "ü", LONE_SURROGATE])
def test_long_ids_that_differ_at_their_end_stay_different_in_metadata(filler: str) -> None:
    one, other = (ThreadKey("e", filler * 600 + end, "a").metadata()["scope"] for end in "12")

    assert one != other
    assert one.startswith(filler * 400)
    assert len(one) == len(other) == 512


def test_ids_that_fit_stand_in_metadata_as_they_are() -> None:
    assert ThreadKey("e", "s" * 512, "a", "t").metadata() == {
        "engine": "e",
        "tenant": "t",
        "scope": "s" * 512,
        "assistant": "a",
    }


@pytest.mark.parametrize(
    ("kind", "ours"),
    [("assistant", True), ("decision-record", True), ("memory-approval", True), ("Assistant", False), (None, False)],
)
def test_only_activities_that_say_so_are_ours(kind: str | None, *, ours: bool) -> None:
    properties = {} if kind is None else {"service.type": kind}
    assert dataclasses.replace(ACTIVITY, properties=properties).is_ours is ours


def test_a_record_is_told_from_an_assistant_s_task_and_needs_no_variable_of_the_process() -> None:
    record = dataclasses.replace(ACTIVITY, properties={"service.type": "decision-record"})
    assert (record.is_record, record.is_for_assistant) == (True, False)
    assert record.needs == frozenset({"loopCounter"}), "an empty list would bring all of them"
    approval = dataclasses.replace(ACTIVITY, properties={"service.type": "memory-approval"})
    assert (approval.is_approval, approval.is_record, approval.needs) == (True, False, record.needs)


DATA = [
    each
    for module in (conversations, endings, tasks, threads)
    for each in vars(module).values()
    if isinstance(each, type) and dataclasses.is_dataclass(each) and each.__module__ == module.__name__
]


@pytest.mark.parametrize("kind", DATA, ids=lambda kind: kind.__name__)
def test_data_cannot_be_changed(kind: Any) -> None:
    assert kind.__dataclass_params__.frozen
    assert "__slots__" in vars(kind)
    assert inspect.getdoc(kind), "and says what it is"


@pytest.mark.parametrize(
    ("definition_id", "named"),
    [
        ("risk:7:4711", ("risk", 7)),
        ("a0b1c2d3-0000-11f0-8c2e-0242ac120002", None),
        ("risk:x:1", None),
        (":1:2", None),
        ("a:b:1:2", None),
        (f"risk:{'9' * 5000}:1", None),
        ("", None),
    ],
)
def test_a_definitions_id_names_its_process_where_engines_write_it(
    definition_id: str, named: tuple[str, int] | None
) -> None:
    assert definition(definition_id) == named
