"""Answers to decision questions → variables: values, how sure they are, and whether a person should look at them."""

import json
from dataclasses import replace

import pytest

from tests.samples import ACTIVITY, ASSISTANT, task
from tests.unit.test_questions import ALL, FIT, ROUTE, URGENCY, read, wanted
from worker.domain import meta
from worker.domain.questions import DecisionQuestion, written
from worker.domain.tasks import Variable
from worker.domain.threads import Answer, Outcome
from worker.errors import BadDefinition
from worker.modelling import properties, result
from worker.modelling.result import Form, Story

STORY = Story(None, "created", None, repaired=False, seconds={})


def form(**more: str) -> Form:
    return Form.asking(wanted(**more), read(*ALL))


def weighed(fit: float = 0.9, route: float | None = 0.8, urgency: float = 0.7) -> Answer:
    """What came back with so much confidence; None: refused."""
    first, second, third = read(*ALL)
    answers = {
        "fit": first.likely(fit),
        "route": second.refused() if route is None else second.decided("board", route, [route, 0.1, 0.1]),
        "urgency": third.decided(1 - urgency, urgency, [urgency, 1 - urgency]),
    }
    return Answer(written(answers), weighed=True)


def variables(answer: Answer, asked: Form) -> dict[str, Variable]:
    return result.variables(answer, asked, ASSISTANT, STORY, spin=True)


@pytest.mark.parametrize("name", ["frame", "frame_meta", "frame_unsure"])
def test_an_answer_never_takes_the_place_of_the_result(name: str) -> None:
    asked = DecisionQuestion(name, "predicate", "?")
    with pytest.raises(BadDefinition, match=f"would go into {name}"):
        Form.asking(wanted(), [asked])
    with pytest.raises(BadDefinition, match="would go into fit"):
        wanted(data_output="fit")


def test_answers_become_typed_variables_with_their_confidence() -> None:
    got = variables(weighed(fit=0.2), form())

    assert {name: (each.type, each.value) for name, each in got.items() if not name.startswith("frame")} == {
        "fit": ("Boolean", False),
        "fit_confidence": ("Double", 0.8),
        "route": ("String", "board"),
        "route_confidence": ("Double", 0.8),
        "urgency": ("Double", pytest.approx(0.3)),
        "urgency_confidence": ("Double", 0.7),
    }
    assert (got["frame_unsure"].type, got["frame_unsure"].value) == ("Boolean", False)


def test_the_result_has_all_probabilities() -> None:
    variable = variables(weighed(fit=0.25), form())["frame"]
    said = json.loads(variable.value)

    assert variable.type == "Json"
    assert said["fit"] == {"type": "predicate", "value": False, "confidence": 0.75, "probability": 0.25}
    assert said["route"]["probabilities"] == [
        {"value": "board", "probability": 0.8},
        {"value": True, "probability": 0.1},
        {"value": False, "probability": 0.1},
    ]
    assert [each["label"] for each in said["urgency"]["probabilities"]] == ["low", "high"]
    assert [each["value"] for each in said["urgency"]["probabilities"]] == [0, 1]


def test_a_predicate_is_true_from_one_half_on() -> None:
    [asked, *_] = read(*ALL)
    assert [asked.likely(p)["value"] for p in (0.4999, 0.5, 1.0)] == [False, True, True]


def test_a_question_that_is_refused_is_null_and_unsure() -> None:
    got = variables(weighed(route=None), form())

    assert (got["route"].type, got["route_confidence"].type) == ("Null", "Null")
    assert got["frame_unsure"].value is True
    assert json.loads(got["frame_meta"].value)["unsure"] == ["route"]


@pytest.mark.parametrize(("bar", "unsure"), [("0.7", ()), ("0.71", ("urgency",)), ("0.85", ("route", "urgency"))])
def test_less_confidence_than_the_bar_is_unsure(bar: str, unsure: tuple[str, ...]) -> None:
    asked = form(service_confidence=bar)
    got = variables(weighed(), asked)

    assert asked.unsure(weighed()) == unsure
    assert got["frame_unsure"].value is bool(unsure)
    assert json.loads(got["frame_meta"].value)["confidence"] == float(bar)


def test_a_questions_own_bar_goes_before_the_tasks() -> None:
    own = read({**FIT, "confidence": 0.95}, {**ROUTE, "confidence": 0}, URGENCY)
    asked = Form.asking(wanted(service_confidence="0.9"), own)

    assert asked.unsure(weighed()) == ("fit", "urgency")
    assert asked.bar == 0.95


def test_a_loops_iterations_keep_their_answers_apart() -> None:
    wants = {"service.type": "assistant", "service.name": "analyst", "data.questions": json.dumps(ALL)}
    many = replace(ACTIVITY, properties=wants, loops=1)
    asked = Form.asking(properties.read(task(loopCounter=2), many), read(*ALL))

    assert {"fit_2", "fit_2_confidence", "frame_2", "frame_2_meta", "frame_2_unsure"} <= variables(
        weighed(), asked
    ).keys()


def test_the_meta_names_the_variables_by_which_results_are_erased() -> None:
    told = meta.read("frame_meta", variables(weighed(), form())["frame_meta"].value)
    assert told is not None
    assert set(told.fields) == variables(weighed(), form()).keys() - {"frame", "frame_meta"}


@pytest.mark.parametrize("name", ["q", "é" * 40])
def test_the_meta_of_hundreds_of_questions_still_says_who_was_asked(name: str) -> None:
    many = [DecisionQuestion(f"{name}{number}", "predicate", "?") for number in range(400)]
    answer = Answer(written({each.name: each.refused() for each in many}), weighed=True, model="judge-1")
    text = variables(answer, Form.asking(wanted(), many))["frame_meta"].value
    told = json.loads(text)

    assert len(text) < meta.LONGEST
    assert (told["model"], told["fields"][0], told["unsure"][0]) == ("judge-1", many[0].name, many[0].name)


def test_an_answer_by_the_form_has_no_confidence() -> None:
    asked = form()
    said = Answer('{"fit": true, "route": false, "urgency": "high"}')
    answer, wrong = result.checked(said, asked)
    got = variables(answer, asked)

    assert wrong == ""
    assert {name: got[name].value for name in ("fit", "route", "urgency")} == {
        "fit": True,
        "route": False,
        "urgency": 1.0,
    }
    assert {got[f"{name}_confidence"].type for name in ("fit", "route", "urgency")} == {"Null"}
    assert got["urgency"].type == "Double"


@pytest.mark.parametrize(("more", "is_unsure"), [({}, True), ({"service_confidence_uncalibrated": "allow"}, False)])
def test_an_answer_without_confidence_is_sure_only_where_that_is_allowed(more: dict[str, str], is_unsure: bool) -> None:
    asked = form(service_confidence="0.5", **more)
    answer, _ = result.checked(Answer('{"fit": true, "route": "board", "urgency": "low"}'), asked)

    assert bool(asked.unsure(answer)) is is_unsure


@pytest.mark.parametrize(
    "text",
    [
        '{"fit": true, "route": "board"}',
        '{"fit": "yes", "route": "board", "urgency": "low"}',
        '{"fit": true, "route": "nobody", "urgency": "low"}',
        '{"fit": {"type": "predicate", "value": true, "confidence": 1}, "route": "board", "urgency": "low"}',
    ],
)
def test_an_answer_that_does_not_fit_the_questions_is_invalid(text: str) -> None:
    answer, wrong = result.checked(Answer(text), form())
    assert (answer.outcome, bool(wrong)) == (Outcome.INVALID, True)


@pytest.mark.parametrize(
    "changed",
    [
        {"fit": FIT | {"name": "fits"}},
        {"fit": FIT | {"type": "choice", "choices": ["yes", "no"]}},
        {"route": ROUTE | {"choices": ["north", "south"]}},
    ],
)
def test_a_kept_answer_to_other_questions_is_invalid(changed: dict[str, dict[str, object]]) -> None:
    """The model may have been corrected, and its instances migrated, since it was given."""
    asked = [changed.get(name, each) for name, each in (("fit", FIT), ("route", ROUTE), ("urgency", URGENCY))]
    answer, wrong = result.checked(weighed(), Form.asking(wanted(), read(*asked)))

    assert answer.outcome is Outcome.INVALID
    assert wrong == answer.detail == "it answers other questions than the task asks now"
    assert result.checked(weighed(), form())[0].outcome is Outcome.OK
