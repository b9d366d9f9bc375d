"""Decision questions: what may be asked, and by which form where nobody weighs answers."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.samples import ACTIVITY, task
from worker.domain.questions import DecisionQuestion, Option
from worker.errors import BadDefinition
from worker.modelling import properties, questions, schema

FIT = {"name": "fit", "type": "predicate", "instructions": "Does it fit the budget?"}
ROUTE = {"name": "route", "type": "choice", "instructions": "Who decides?", "choices": ["board", True, False]}
URGENCY = {
    "name": "urgency",
    "type": "score",
    "instructions": "How urgent is it?",
    "levels": ["low", {"label": "high", "description": "this week"}],
}
ALL = [FIT, ROUTE, URGENCY]


def read(*said: Any) -> tuple[DecisionQuestion, ...]:
    return questions.read(json.dumps(list(said)), "property data.questions")


def wanted(said: Any = ALL, **more: str) -> properties.TaskProperties:
    text = said if isinstance(said, str) else json.dumps(said)
    named = {name.replace("_", "."): value for name, value in more.items()}
    asked = {"service.type": "assistant", "service.name": "analyst", "data.questions": text, **named}
    return properties.read(task(), replace(ACTIVITY, properties=asked))


def test_questions_are_read_with_their_options_in_order() -> None:
    assert read(*ALL, {**FIT, "name": "sure", "confidence": 0.9}) == (
        DecisionQuestion("fit", "predicate", "Does it fit the budget?"),
        DecisionQuestion("route", "choice", "Who decides?", (Option("board"), Option(value=True), Option(value=False))),
        DecisionQuestion("urgency", "score", "How urgent is it?", (Option("low"), Option("high", "this week"))),
        DecisionQuestion("sure", "predicate", "Does it fit the budget?", confidence=0.9),
    )


@pytest.mark.parametrize(
    ("said", "flaw"),
    [
        ([], "a list of 1 to 400"),
        ({}, "a list of 1 to 400"),
        ([{**FIT, "name": f"q{n}"} for n in range(401)], "a list of 1 to 400"),
        (["fit"], "question 1 is no JSON object"),
        ([{**FIT, "name": "2nd"}], "question 1 ('2nd') needs a name of letters"),
        ([{**FIT, "name": "a.b"}], "needs a name of letters"),
        ([{**FIT, "name": 1}], "question 1 needs a name of letters"),
        ([FIT, FIT], "question 2 ('fit') has the name of an earlier one"),
        ([{**FIT, "name": "fit_confidence"}], "ends in _confidence or _meta or _unsure"),
        ([{**FIT, "name": "fit_meta"}], "ends in _confidence or _meta or _unsure"),
        ([{**FIT, "instructions": " "}], "needs instructions"),
        ([{**FIT, "type": "noul"}], "needs a type: predicate, choice or score"),
        ([{**FIT, "choices": ["a", "b"]}], "has 'choices', which is no part of a predicate"),
        ([{**FIT, "confidence": 2}], "a confidence that is no number from 0 to 1"),
        ([{**FIT, "confidence": True}], "a confidence that is no number from 0 to 1"),
        ([{**ROUTE, "choices": ["a"]}], "needs choices: a list of 2 to 255"),
        ([{**ROUTE, "choices": [str(n) for n in range(256)]}], "needs choices: a list of 2 to 255"),
        ([{**ROUTE, "choices": ["a", "a"]}], "says one of its choices twice"),
        ([{**ROUTE, "choices": [True, "true"]}], "says one of its choices twice"),
        ([{**ROUTE, "choices": ["a", 1]}], "has choices of which one is neither"),
        ([{**ROUTE, "choices": ["a", {"value": "b", "text": "?"}]}], "has choices of which one is neither"),
        ([{**URGENCY, "levels": ["low", True]}], "has levels of which one is neither"),
    ],
)
def test_questions_that_cannot_be_asked_are_refused_by_number_and_name(said: Any, flaw: str) -> None:
    with pytest.raises(BadDefinition, match=r"property data\.questions") as caught:
        questions.read(json.dumps(said), "property data.questions")
    assert flaw in str(caught.value)


@pytest.mark.parametrize("text", ["[", "[NaN]", '[{"name": "a", "name": "b"}]', "[" * 300])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(BadDefinition, match="is no JSON"):
        questions.read(text, "property data.questions")


@pytest.mark.parametrize("count", [2, 255])
def test_the_least_and_the_most_options_are_taken(count: int) -> None:
    [asked] = read({**ROUTE, "choices": [str(n) for n in range(count)]})
    assert len(asked.options) == count


def test_the_most_questions_are_taken() -> None:
    assert len(read(*({**FIT, "name": f"q{n}"} for n in range(400)))) == 400


def test_questions_stand_in_the_property_or_are_named_by_it() -> None:
    assert wanted().questions == read(*ALL)
    assert wanted("questions.json").questions == "questions.json"


def test_questions_are_asked_beside_every_conversation() -> None:
    assert wanted().sharing == wanted(service_thread="activity").sharing == "activity"
    with pytest.raises(BadDefinition, match=r"service\.thread is 'instance'.*leave it out"):
        wanted(service_thread="instance")


@pytest.mark.parametrize(
    "more", [{"data_output_schema": "a.json"}, {"data_output_fields": "a"}, {"data_output_type": "Text"}]
)
def test_no_other_form_has_place_beside_questions(more: dict[str, str]) -> None:
    with pytest.raises(BadDefinition, match=r"no place beside data\.questions"):
        wanted(**more)


@pytest.mark.parametrize(
    "name", ["service.confidence", "service.confidence.uncalibrated", "error.unsure"], ids=lambda name: name
)
def test_what_is_about_their_answers_is_refused_without_questions(name: str) -> None:
    value = {"service.confidence": "0.8", "service.confidence.uncalibrated": "allow", "error.unsure": "ASK"}[name]
    asked = {"service.type": "assistant", "service.name": "analyst", name: value}
    with pytest.raises(BadDefinition, match=rf"property {name} is about the answers"):
        properties.read(task(), replace(ACTIVITY, properties=asked))


@pytest.mark.parametrize("value", ["2", "-0.1", "1.1", "80%", "0,8", "NaN", "1e-1", "."])
def test_a_confidence_is_a_number_from_0_to_1(value: str) -> None:
    assert [wanted(service_confidence=said).confidence for said in ("0", "0.85", ".5", "1", "1.0")] == [
        0,
        0.85,
        0.5,
        1,
        1,
    ]
    with pytest.raises(BadDefinition, match=r"service\.confidence is .*from 0 to 1"):
        wanted(service_confidence=value)


def test_the_form_of_any_questions_is_a_schema_that_can_be_used() -> None:
    most = [{**ROUTE, "name": f"q{n}", "choices": [str(n) for n in range(255)]} for n in range(40)]
    assert schema.flaw(questions.form(read(*most))) == ""


def test_questions_are_listed_with_what_may_be_answered() -> None:
    assert questions.listed(read(*ALL)) == (
        "- fit (true or false): Does it fit the budget?\n"
        "- route (one of those below): Who decides?\n"
        '  - "board"\n  - true\n  - false\n'
        "- urgency (one of the levels below, in order): How urgent is it?\n"
        '  - "low"\n  - "high": this week'
    )
