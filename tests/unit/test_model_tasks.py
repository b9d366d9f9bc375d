"""What is found in tasks for assistants, and in tasks that look like them."""

import json
from dataclasses import replace

import pytest

from tests.samples import ACTIVITY, ASSISTANT
from tests.unit.test_questions import ALL, FIT
from worker.operate.models import tasks
from worker.operate.models.rules import Fault, Level, Rule
from worker.specs.assistants import Specs

SPECS = Specs((ASSISTANT, replace(ASSISTANT, name="judge", provider="deciding")))


def said(name: str, **more: str) -> list[tuple[Level, str]]:
    """What is found in a task of this assistant."""
    wants = {"service.type": "assistant", "service.name": name}
    wants |= {each.replace("_", "."): value for each, value in more.items()}
    activity = replace(ACTIVITY, properties=wants, async_after=True)
    return [(each.level, each.said) for each in tasks.faults(activity, SPECS, weighing=frozenset({"deciding"}))]


def test_questions_that_can_be_answered_are_right() -> None:
    assert said("judge", data_questions=json.dumps(ALL), service_confidence="0.8") == []
    assert said("analyst", data_questions=json.dumps(ALL)) == []


@pytest.mark.parametrize(
    "more",
    [
        {"data_questions": json.dumps(ALL), "service_confidence": "0.8"},
        {"data_questions": json.dumps([{**FIT, "confidence": 0.8}])},
        {"data_questions": "gate.json", "service_confidence": "0.8"},
    ],
)
def test_a_bar_where_nobody_tells_confidence_is_a_problem_unless_it_is_allowed(more: dict[str, str]) -> None:
    [(level, text)] = said("analyst", **more)
    assert level is Level.ERROR
    assert "the provider openai of its assistant tells no confidence" in text
    assert said("analyst", service_confidence_uncalibrated="allow", **more) == []


def test_a_task_without_questions_is_a_problem_where_nothing_else_is_answered() -> None:
    [(level, text)] = said("judge")
    assert level is Level.ERROR
    assert "the provider deciding of its assistant answers decision questions alone" in text


def test_an_answer_that_overwrites_an_input_is_named() -> None:
    [(level, text)] = said("judge", data_questions=json.dumps([FIT]), data_input="fit, offer")
    assert (level, "overwrites its own input fit" in text) == (Level.WARNING, True)


def test_questions_that_cannot_be_asked_are_a_problem() -> None:
    [(level, text)] = said("judge", data_questions="[]")
    assert (level, "a list of 1 to 400 questions" in text) == (Level.ERROR, True)


def wrong(**properties: str) -> list[Fault]:
    """What is found in a task with these properties; `_` in a name stands for `.`."""
    said = {"service.type": "assistant", "service.name": "analyst"}
    said |= {name.replace("_", "."): value for name, value in properties.items()}
    return [*tasks.faults(replace(ACTIVITY, properties=said, async_after=True), SPECS)]


def test_every_value_that_is_wrong_is_named_not_the_first_alone() -> None:
    said = {"service_timeout": "soon", "service_retries": "0", "service_retries_delay": "P1Y", "error_refusd": "NO"}
    found = wrong(**said)
    assert {(each.rule, each.about) for each in found} == {(Rule.WRONG_VALUE, name.replace("_", ".")) for name in said}


def test_of_very_many_wrong_values_some_are_named() -> None:
    assert len(wrong(**{f"error_x{number}": "NO" for number in range(3000)})) == tasks.MOST_WRONG


def test_what_only_follows_from_a_wrong_value_is_not_named() -> None:
    assert [each.about for each in wrong(data_questions="[]", service_confidence="0.8")] == ["data.questions"]


def test_an_assistant_that_nobody_knows_is_named_beside_a_wrong_value() -> None:
    found = wrong(service_name="analist", service_timeout="soon")
    assert [each.rule for each in found] == [Rule.WRONG_VALUE, Rule.UNKNOWN_ASSISTANT]
    assert "did you mean 'analyst'" in found[1].said


def test_where_no_assistant_is_named_the_rest_is_looked_at_all_the_same() -> None:
    found = wrong(service_name="", service_timeout="soon", error_refused="NOBODY_CATCHES")
    assert [(each.rule, each.about) for each in found] == [
        (Rule.NO_ASSISTANT, "service.name"),
        (Rule.WRONG_VALUE, "service.timeout"),
        (Rule.UNCAUGHT_ERROR, "error.refused"),
    ]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Data.Input", "data.input"),
        ("data.input ", "data.input"),
        ("data.inputs", "data.input"),
        ("date.input", "data.input"),
        ("Error.refused", "error.refused"),
        ("service_timeout", "service.timeout"),
    ],
)
def test_a_name_that_is_nearly_one_is_not_read_and_said_so(name: str, meant: str) -> None:
    properties = {"service.type": "assistant", "service.name": "analyst", name: "PT5M"}
    [found] = tasks.faults(replace(ACTIVITY, properties=properties, async_after=True), None)
    assert (found.rule, found.about, f"did you mean {meant}?" in found.advice) == (Rule.UNREAD_PROPERTY, name, True)


@pytest.mark.parametrize("name", ["colour", "camundaModelerTemplate", "data-set", "retries"])
def test_a_name_of_somebody_else_is_left_alone(name: str) -> None:
    assert wrong() == []
    properties = {"service.type": "assistant", "service.name": "analyst", name: "x"}
    assert [*tasks.faults(replace(ACTIVITY, properties=properties, async_after=True), None)] == []


def test_an_expression_in_a_question_is_read_as_it_stands_unless_there_is_a_prompt() -> None:
    asking = replace(ACTIVITY, documentation="Review ${offer}.", async_after=True)
    asking = replace(asking, properties={"service.type": "assistant", "service.name": "analyst"})
    assert [each.rule for each in tasks.faults(asking, None)] == [Rule.EXPRESSION]
    assert [*tasks.faults(replace(asking, parameters=frozenset({"prompt"})), None)] == []


@pytest.mark.parametrize(
    ("properties", "specs"),
    [
        ({"service.name": "analyst"}, SPECS),
        ({"service.name": "analyst", "service.type": "asistant"}, SPECS),
        ({"service.name": "analyst", "data.output": "x"}, None),
        ({"Service.Type": "assistant"}, None),
        ({"service.typ": "decision-record"}, None),
        ({"service.type": "memory-aproval"}, None),
        ({"service.type ": "assistant"}, SPECS),
        ({"service.type": "Assistant"}, None),
        ({"service.type": " assistant"}, None),
    ],
)
def test_a_task_that_was_meant_for_this_worker_and_is_not_is_named(
    properties: dict[str, str], specs: Specs | None
) -> None:
    [found] = tasks.strange(replace(ACTIVITY, properties=properties), specs)
    assert (found.rule, found.about in properties) == (Rule.LEFT_ALONE, True)


def test_a_property_that_was_meant_to_say_whose_a_task_is_is_named_also_beside_a_known_assistant() -> None:
    said = {"service.typ": "assistant", "service.name": "analyst"}
    [found] = tasks.strange(replace(ACTIVITY, properties=said), SPECS)
    assert (found.about, "'service.typ'" in found.said) == ("service.typ", True)


@pytest.mark.parametrize(
    ("properties", "specs"),
    [
        ({}, None),
        ({"service.name": "mailer", "data.input": "x"}, SPECS),
        ({"service.name": "mailer"}, None),
        ({"service.type": "mail"}, None),
    ],
)
def test_a_task_of_others_is_none_of_ours(properties: dict[str, str], specs: Specs | None) -> None:
    assert [*tasks.strange(replace(ACTIVITY, properties=properties), specs)] == []
