"""The ranking and the recommendation that the demo shows at the end of each sample process."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests import decided
from tests.samples import TASK
from tests.scripted import BPMN, activities, answers_of
from worker.demo.model import answers
from worker.demo.outcome import outcome, results_of
from worker.domain.memory import Fact, fact_text
from worker.modelling import prompt
from worker.modelling.inputs import Inputs

KEYS = sorted(path.name for path in BPMN.iterdir() if path.is_dir() and path.name != "assistants")


def results(process: str) -> dict[str, str | None]:
    """The results of a sample process by their variables; a person has decided to grant, or has signed a record."""
    if process in decided.WAYS:
        return decided.results(process)
    outputs = {step: activity.properties["data.output"] for step, activity in activities(process).items()}
    said: dict[str, str | None] = {outputs[step]: text for step, text in answers_of(process).items() if step in outputs}
    return said | {"board_decision": "grant", "signature": None}


@pytest.mark.parametrize("process", KEYS)
def test_each_sample_has_an_outcome_read_from_its_own_results(process: str) -> None:
    found = outcome(process, results(process))
    assert found is not None
    assert {len(row) for row in found.rows} == {len(found.rows[0])}
    assert "**" not in found.reached
    assert set(results_of(process)) <= results(process).keys()


def test_the_ranking_is_shown_in_its_order_with_what_was_recommended() -> None:
    found = outcome("decision", results("decision"))
    assert found is not None
    assert [row[:2] for row in found.rows[1:3]] == [("1", "C Mixed fleet"), ("2", "B Quadcopter pool")]
    assert found.reached.startswith("Recommendation: C Mixed fleet, 82.0 points")


def test_what_is_beyond_the_budget_is_said_where_it_ranks_first() -> None:
    found = outcome("parallel_analysis", results("parallel_analysis"))
    assert found is not None
    assert found.rows[1] == ("1", "Own centre", "8.6 M€", "23.6 M€", "beyond the budget")
    assert found.reached.startswith("Recommendation: Shared centre")


def test_the_sum_and_who_decided_are_shown_of_a_grant() -> None:
    found = outcome("approval", results("approval"))
    assert found is not None
    assert ("To be paid", "13,440") in found.rows
    assert found.reached == "Proposed: grant, 13,440 of 18,400 EUR. Decided by the board: grant."


def test_a_quick_decision_that_nobody_signed_is_not_shown_as_one_that_was() -> None:
    found = outcome("quick_decision", results("quick_decision"))
    assert found is not None
    assert found.rows[-1] == ("-", "Courier", "65.5", "Budget: 3,800 EUR is 200 EUR too much")
    assert found.reached == "Hired van for 3,000 EUR of a budget of 3,600 EUR. Signed: not in time."


def test_a_record_is_shown_with_its_ranking_and_with_who_is_not_in_it() -> None:
    found = outcome("trade_study", results("trade_study"))
    assert found is not None
    assert found.rows[1:] == [
        *(["1", "Battery", "0.611"], ["2", "Hybrid", "0.586"], ["3", "Diesel", "0.527"]),
        ["excluded", "Hydrogen", "0.357"],
    ]
    assert found.reached == "Chosen option: Battery. Signed: accepted."


@pytest.mark.parametrize("process", KEYS)
@pytest.mark.parametrize("text", [None, "I would buy drones.", "{}", "[1]", json.dumps({"focus": 3})])
def test_where_a_model_words_it_otherwise_there_is_none(process: str, text: str | None) -> None:
    assert outcome(process, dict.fromkeys(results_of(process), text)) is None


def test_a_process_of_others_has_none() -> None:
    assert outcome("theirs", {}) is None
    assert results_of("theirs") == ()


def test_a_customer_who_comes_back_is_known_by_what_is_remembered() -> None:
    activity = activities("returning_customer")["settle"]
    first = answers_of("returning_customer")["settle"]
    assert "has not been here before" in first
    fact = Fact("f" * 32, fact_text(activity.documentation, first), datetime(2026, 11, 1, tzinfo=UTC), "i", "r")
    shown = Inputs({"complaint": "### complaint (String)\n\n    It hums again.", "memory": prompt.remembered([fact])})
    task = replace(TASK, activity_id=activity.id)
    again = answers.answer(prompt.text(task, activity, shown), [])
    found = outcome("returning_customer", {"settlement": again})
    assert found is not None
    assert found.rows[1:] == [("a technician puts rubber mounts under the heat pump within a week, free of charge.",)]
    assert found.reached.startswith("Settlement: a technician replaces the bearing")
