"""What doctor finds in tasks with decision questions."""

import json
from dataclasses import replace

import pytest

from tests.samples import ACTIVITY, ASSISTANT
from tests.unit.test_questions import ALL, FIT
from worker.operate.doctor import tasks
from worker.operate.doctor.checks import Level
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
    assert level is Level.PROBLEM
    assert "the provider openai of its assistant tells no confidence" in text
    assert said("analyst", service_confidence_uncalibrated="allow", **more) == []


def test_a_task_without_questions_is_a_problem_where_nothing_else_is_answered() -> None:
    [(level, text)] = said("judge")
    assert level is Level.PROBLEM
    assert "the provider deciding of its assistant answers decision questions alone" in text


def test_an_answer_that_overwrites_an_input_is_named() -> None:
    [(level, text)] = said("judge", data_questions=json.dumps([FIT]), data_input="fit, offer")
    assert (level, "overwrites its own input fit" in text) == (Level.WARNING, True)


def test_questions_that_cannot_be_asked_are_a_problem() -> None:
    [(level, text)] = said("judge", data_questions="[]")
    assert (level, "a list of 1 to 400 questions" in text) == (Level.PROBLEM, True)
