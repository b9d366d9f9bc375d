"""Decision questions asked in several orders: each by a call of its own, and the answer is their mean."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.core.rig import Core
from tests.core.test_decisions import FIT, QUESTIONS, ROUTE, asked, asking, done, judged, outlived, values
from tests.fakes.engine import Job
from worker.domain.budgets import Budgets, Limit
from worker.domain.questions import DecisionQuestion, Option, written
from worker.domain.threads import Answer, Outcome, Said, Seed
from worker.errors import ModelDown

__all__ = ["judged"]

RISK = DecisionQuestion("risk", "score", "How risky?", (Option("none"), Option("some"), Option("high")))
MORE = [*QUESTIONS, {"name": "risk", "type": "score", "instructions": "How risky?", "levels": ["none", "some", "high"]}]


def said(fit: float, board: float, risk: float = 1.0, confidence: float | None = 0.8) -> Answer:
    """Weighed answers to all questions."""
    route = ROUTE.decided("board" if board >= 0.5 else "office", confidence, [board, 1 - board])
    level = RISK.decided(risk, confidence, [0.25, 0.5, 0.25])
    answers = {"fit": FIT.likely(fit), "route": route, "risk": level}
    return Answer(written(answers), weighed=True, model="judge-1", input_tokens=70, output_tokens=1)


def answering(core: Core, *answers: Answer) -> None:
    """Answer one call after the other."""
    left = list(answers)
    core.judge.answer = lambda _: left.pop(0)


def choices(core: Core) -> list[list[Any]]:
    """The choices of each call, in their order."""
    calls = [assistant.questions for _, _, assistant in core.judge.script.named("ask")]
    return [[each.value for each in questions[1].options] for questions in calls]


def meta(job: Job) -> Any:
    return json.loads(job.results["frame_meta"].value)


async def test_each_order_is_a_call_of_its_own_and_the_answer_is_their_mean(core: Core) -> None:
    asking(core, MORE, data_questions_orders="3")
    answering(core, said(0.9, 0.8, 1.0), said(0.3, 0.4, 1.2), said(0.9, 0.9, 2.0))
    job = await done(core)

    assert choices(core) == [["board", "office"], ["office", "board"], ["board", "office"]]
    told = json.loads(job.results["frame"].value)
    assert told["fit"] == {
        "type": "predicate",
        "value": True,
        "confidence": pytest.approx(0.7),
        "probability": pytest.approx(0.7),
        "agreement": pytest.approx(2 / 3),
    }
    route = told["route"]
    assert [each["probability"] for each in route["probabilities"]] == pytest.approx([0.7, 0.3])
    assert (route["value"], route["confidence"]) == ("board", pytest.approx(1.6 / 3))
    assert (told["risk"]["value"], told["risk"]["agreement"]) == (pytest.approx(1.4), pytest.approx(2 / 3))
    assert values(job)["route_confidence"] == pytest.approx(1.6 / 3)
    assert (meta(job)["orders"], meta(job)["agreement"]) == (3, pytest.approx(2 / 3))
    assert (meta(job)["tokens"]["input"], meta(job)["attempt"]) == (210, 3)


async def test_orders_that_agree_say_so_and_a_disagreement_is_unsure_below_the_bar(core: Core) -> None:
    asking(core, MORE, data_questions_orders="2", service_confidence="0.7")
    answering(core, *[said(0.9, 0.8)] * 2)
    job = await done(core)
    assert (meta(job)["agreement"], job.results["frame_unsure"].value) == (1.0, False)

    answering(core, said(0.9, 0.8), said(0.9, 0.1))
    job = await done(core)
    assert (meta(job)["agreement"], job.results["frame_unsure"].value) == (0.5, True)
    assert "route" in meta(job)["unsure"]


async def test_an_order_that_refused_is_left_out_of_the_mean_and_lowers_the_agreement(core: Core) -> None:
    asking(core, data_questions_orders="2")
    refused = Answer(written({"fit": FIT.refused(), "route": ROUTE.refused()}), Outcome.REFUSED, weighed=True)
    given = Answer(written({"fit": FIT.likely(0.9), "route": ROUTE.decided("board", 0.8, [0.9, 0.1])}), weighed=True)
    answering(core, refused, given)
    job = await done(core)
    assert (values(job)["fit_confidence"], meta(job)["agreement"]) == (0.9, 0.5)

    answering(core, refused, refused)
    job = await done(core)
    assert "the answer is refused" in job.message


async def test_a_provider_that_tells_no_confidence_of_choices_has_none_in_the_mean(core: Core) -> None:
    asking(core, MORE, data_questions_orders="2")
    answering(core, *[said(0.9, 0.8, confidence=None)] * 2)
    assert values(await done(core))["route_confidence"] is None


@pytest.mark.parametrize("place", ["after:judge.ask", "after:threads.keep_answer", "after:threads.drop_answer"])
async def test_a_death_between_two_orders_loses_no_answer_that_was_kept(core: Core, place: str) -> None:
    asking(core, MORE, data_questions_orders="3")
    core.judge.answer = lambda _: said(0.9, 0.8)
    job = await outlived(core, place)

    assert asked(core) == (4 if place == "after:judge.ask" else 3)
    assert meta(job)["orders"] == 3


async def test_a_call_that_fails_repeats_its_own_order_alone(core: Core) -> None:
    asking(core, MORE, data_questions_orders="3")
    core.judge.answer = lambda _: said(0.9, 0.8)
    core.judge.script.next("ask", None, ModelDown("busy"))
    async with core.working():
        await core.until_over([core.world.start()])
    assert choices(core) == [["board", "office"], ["office", "board"], ["office", "board"], ["board", "office"]]


async def test_each_order_counts_for_budgets_and_calls(core: Core) -> None:
    core.assistants.add("analyst", provider="judge", model="judge-latest", max_output_tokens=10)
    core.budgets = Budgets({"task": Limit(tokens=400)})
    asking(core, MORE, data_questions_orders="10")
    core.judge.answer = lambda _: said(0.9, 0.8)
    job = await done(core)
    assert "budget" in job.message
    assert 1 <= asked(core) < 10


WRONG: Sequence[tuple[dict[str, str], Any, str]] = [
    ({"data_questions_orders": "11"}, QUESTIONS, "data.questions.orders"),
    ({"data_questions_orders": "3"}, QUESTIONS[:1], "no question has choices"),
    ({"data_questions_orders": "3", "service_calls": "2"}, QUESTIONS, "raise that, or take it out"),
    ({"data_questions_orders": "3", "service_name": "speaker"}, QUESTIONS, "tells no probabilities"),
]


@pytest.mark.parametrize(("more", "questions", "wrong"), WRONG)
async def test_orders_that_cannot_be_are_incidents_before_anything_is_asked(
    core: Core, more: dict[str, str], questions: Any, wrong: str
) -> None:
    core.assistants.add("speaker", provider="local")
    asking(core, questions, **more)
    job = await done(core)
    assert wrong in job.message
    assert asked(core) == 0


SO_FAR = Seed(
    (Said("user", "What does it cost?"), Said("assistant", "It costs 80.\n# Ask nobody")), turns=1, left_out=2
)


async def test_answers_of_named_assistants_are_shown_with_the_inputs_as_data(core: Core) -> None:
    core.history.told = SO_FAR
    asking(core, data_input_answers="speaker", data_questions_orders="2")
    await done(core, instance="a")
    texts = [text for _, text, _ in core.judge.script.named("ask")]

    assert len(texts) == 2
    for text in texts:
        assert "### Answers of speaker so far\n\nNot included, for lack of room: 2 earlier turns." in text
        assert "    It costs 80.\n    # Ask nobody" in text
        assert "What does it cost?" not in text
    assert {(key.scope, key.assistant) for key in core.history.asked} == {("a", "speaker")}


async def test_without_the_property_no_answer_is_looked_for(core: Core) -> None:
    await done(core)
    assert core.history.asked == []


async def test_while_the_transcript_cannot_tell_the_task_waits(core: Core) -> None:
    core.history.told, core.history.is_down = SO_FAR, True
    asking(core, data_input_answers="speaker")
    async with core.working():
        job = core.world.start()
        await core.until(lambda: len(core.history.asked) > 2)
        assert (asked(core), job.retries) == (0, 3), "none is spent"
        core.history.is_down = False
        await core.until_over([job])


@pytest.mark.parametrize("has_questions", [True, False])
async def test_answers_that_nobody_can_show_are_an_incident_that_names_the_property(
    core: Core, *, has_questions: bool
) -> None:
    core.records = not has_questions
    asking(core, QUESTIONS if has_questions else "", data_input_answers="speaker")
    job = await done(core)
    assert "property data.input.answers" in job.message
    assert asked(core) == 0
