"""Providers that weigh: what goes over each of the two wires, and what is made of the answers."""

import json
from collections.abc import AsyncIterator
from typing import Any, get_args

import pytest

from tests.contract.questions import KEY, SECRET_WORD, assistant
from tests.contract.test_models_abilities import Book
from worker.demo.model import ModelServer
from worker.domain.providers import Api, ProviderSpec
from worker.domain.questions import DecisionQuestion, Option
from worker.domain.threads import Answer, Outcome, Said
from worker.errors import BadRequest, ModelDown, ModelUnknown, ProviderPaused
from worker.operate.doctor.abilities import of_model
from worker.operate.doctor.checks import Level
from worker.providers import Client, DecisionsModel, SystemOneModel

FIT = DecisionQuestion("fit", "predicate", "Does it fit the budget?")
ROUTE = DecisionQuestion("route", "choice", "Who decides?", (Option("board"), Option(value=True, description="we do")))
URGENCY = DecisionQuestion("urgency", "score", "How urgent?", (Option("low"), Option("mid", "days"), Option("high")))
ASKED = (FIT, ROUTE, URGENCY)
TEXT = f"What goes with {SECRET_WORD}?"
WIRES: dict[Api, type[DecisionsModel] | type[SystemOneModel]] = {
    "decisions": DecisionsModel,
    "systemone": SystemOneModel,
}
Model = DecisionsModel | SystemOneModel


@pytest.fixture(params=WIRES)
def api(request: pytest.FixtureRequest) -> Api:
    """Each of the two."""
    api: Api = request.param
    return api


@pytest.fixture
def call(api: Api) -> str:
    """What a call over it is called."""
    return f"{api}.create"


@pytest.fixture
async def model(server: ModelServer, api: Api) -> AsyncIterator[Model]:
    """It, on the scripted server."""
    server.weigh(fit=0.2, route={"board": 0.3, "true": 0.7}, urgency=[0.1, 0.2, 0.7])
    async with Client.open(ProviderSpec(name="judge", api=api, base_url=server.base_url, key=KEY)) as client:
        yield WIRES[api](client)


async def ask(model: Model, *questions: DecisionQuestion) -> Answer:
    said = [Said("user", "Nothing of this is told.")]
    return await model.ask(said, TEXT, assistant(model="gpt-6-luna", questions=questions or ASKED))


async def test_every_answer_comes_with_its_probabilities(model: Model) -> None:
    answer = await ask(model)
    said = json.loads(answer.text)

    assert (answer.outcome, answer.weighed, answer.model, answer.response_id) == (Outcome.OK, True, "gpt-6-luna", None)
    assert said["fit"] == {"type": "predicate", "value": False, "confidence": 0.8, "probability": 0.2}
    assert (said["route"]["value"], said["route"]["confidence"]) == (True, pytest.approx(0.4))
    assert said["route"]["probabilities"] == [
        {"value": "board", "probability": 0.3},
        {"value": True, "probability": 0.7},
    ]
    assert said["urgency"]["value"] == pytest.approx(1.6)
    assert [each["label"] for each in said["urgency"]["probabilities"]] == ["low", "mid", "high"]
    assert answer.counted is not None


async def test_instructions_are_a_developers_message_where_the_wire_has_those(
    model: Model, server: ModelServer, call: str, api: Api
) -> None:
    await ask(model)
    [body] = [each["body"] for each in server.requests(call)]

    assert body["model"] == "gpt-6-luna"
    if api == "decisions":
        assert [(each["role"], each["content"]) for each in body["input"]] == [
            ("developer", "Answer in one sentence."),
            ("user", TEXT),
        ]
        assert body["questions"] == [
            {"type": "predicate", "name": "fit", "instructions": "Does it fit the budget?"},
            {
                "type": "choice",
                "name": "route",
                "instructions": "Who decides?",
                "choices": [{"value": "board"}, {"value": True, "description": "we do"}],
            },
            {
                "type": "score",
                "name": "urgency",
                "instructions": "How urgent?",
                "levels": [{"label": "low"}, {"label": "mid", "description": "days"}, {"label": "high"}],
            },
        ]
    else:
        assert body["state"] == f"Answer in one sentence.\n\n{TEXT}"
        assert body["questions"] == {
            "fit": {"type": "noul", "instructions": "Does it fit the budget?"},
            "route": {"type": "choice", "instructions": "Who decides?", "criteria": {"board": None, "true": "we do"}},
            "urgency": {"type": "score", "instructions": "How urgent?", "criteria": ["low", "mid: days", "high"]},
        }


async def test_a_question_may_be_refused_alone_and_all_of_them_are_a_refusal(model: Model, server: ModelServer) -> None:
    server.weigh(fit=None)
    answer = await ask(model)
    assert (answer.outcome, json.loads(answer.text)["fit"]["value"]) == (Outcome.OK, None)

    assert (await ask(model, FIT)).outcome is Outcome.REFUSED


async def test_one_call_asks_as_many_questions_as_there_may_be(model: Model, server: ModelServer, call: str) -> None:
    many = [DecisionQuestion(f"q{number}", "predicate", "Is it?") for number in range(400)]
    answer = await ask(model, *many)

    assert len(json.loads(answer.text)) == 400
    assert server.counts()["calls"][call] == 1


REPLIES: list[tuple[Api, Any]] = [
    ("decisions", []),
    ("decisions", [{"type": "choice", "choice": "a", "confidence": 1, "probabilities": []}]),
    ("decisions", [{"type": "predicate"}]),
    ("decisions", [{"type": "predicate", "probability": 0.5}] * 2),
    ("systemone", {"other": {"type": "noul", "noul": 0.5}}),
    ("systemone", {"fit": {"type": "choice", "choice": "a"}}),
]


@pytest.mark.parametrize(("api", "answers"), REPLIES, ids=str)
async def test_answers_to_something_else_are_none(model: Model, server: ModelServer, call: str, answers: Any) -> None:
    server.fault(call, reply={"status": 200, "json": {"model": "m", "answers": answers}})
    answer = await ask(model, FIT)

    assert (answer.outcome, answer.text) == (Outcome.INVALID, "")


CHOICES: list[tuple[Api, Any]] = [
    ("decisions", {"choice": "elsewhere", "probabilities": [{"value": "board", "probability": 0.5}]}),
    ("decisions", {"choice": "true", "probabilities": [{"value": "true", "probability": 0.5}]}),
    ("systemone", {"choice": "elsewhere", "probabilities": {"board": 0.5, "true": 0.5}}),
    ("systemone", {"choice": "board", "probabilities": {"board": 0.5}}),
]


@pytest.mark.parametrize(("api", "answer"), CHOICES, ids=str)
async def test_a_choice_that_is_none_of_those_named_counts_for_nothing(
    model: Model, server: ModelServer, api: Api, call: str, answer: Any
) -> None:
    said = {"type": "choice", "confidence": 0.5, **answer}
    answers = [said] if api == "decisions" else {"route": said}
    server.fault(call, reply={"status": 200, "json": {"model": "m", "answers": answers}})

    assert (await ask(model, ROUTE)).outcome is Outcome.INVALID


@pytest.mark.parametrize("probability", [-0.1, 1.5, "NaN", None])
async def test_what_is_no_probability_is_no_answer_that_may_have_been_paid(
    model: Model, server: ModelServer, api: Api, call: str, probability: Any
) -> None:
    said = {"type": "predicate" if api == "decisions" else "noul", "probability": probability, "noul": probability}
    answers = [said] if api == "decisions" else {"fit": said}
    server.fault(call, reply={"status": 200, "json": {"model": "m", "answers": answers}})

    if probability is None:
        assert (await ask(model, FIT)).outcome is Outcome.INVALID
    else:
        with pytest.raises(ModelUnknown):
            await ask(model, FIT)


async def test_anything_but_decision_questions_is_refused_before_it_is_asked(
    model: Model, server: ModelServer, call: str
) -> None:
    with pytest.raises(BadRequest, match=r"judge answers decision questions alone.*data\.questions"):
        await model.ask([], TEXT, assistant())
    assert server.requests(call) == []


@pytest.mark.parametrize(
    ("reply", "error"),
    [("rate_limit", ModelDown), ("quota", ProviderPaused), ("server_error", ModelUnknown), ("html_200", ModelUnknown)],
)
async def test_trouble_is_told_as_of_other_providers(
    model: Model, server: ModelServer, call: str, reply: str, error: type[Exception]
) -> None:
    server.fault(call, reply=reply)
    with pytest.raises(error) as caught:
        await ask(model)
    assert SECRET_WORD not in str(caught.value)


async def test_a_probe_asks_nothing(model: Model, server: ModelServer, call: str) -> None:
    await model.ping()
    assert [each["body"] for each in server.requests(call)] == [{}]
    assert await model.find_model("gpt-6-luna") is not None
    assert await model.find_model("elsewhere") is None


async def test_doctor_asks_one_question_and_says_whether_it_was_weighed(
    model: Model, server: ModelServer, call: str, api: Api
) -> None:
    async def found() -> tuple[Level, str]:
        spec, asker = ProviderSpec("judge", api, server.base_url), assistant(model="gpt-6-luna")
        finding = await of_model("provider judge", "gpt-6-luna", spec, [asker], model, Book())  # type: ignore[arg-type]  # read alone
        return finding.level, finding.said

    level, said = await found()
    assert (level, "answered with a probability" in said) == (Level.OK, True)
    server.fault(
        call, reply={"status": 200, "json": {"model": "m", "answers": [] if api == "decisions" else {"a": {}}}}
    )
    level, said = await found()
    assert (level, "the answer is invalid" in said) == (Level.WARNING, True)
    server.fault(call, reply={"status": 400, "json": {"error": {"message": "no such model here", "param": "model"}}})
    level, said = await found()
    assert (level, "a decision question is refused" in said) == (Level.PROBLEM, True)
    assert server.counts()["calls"][call] == 3


def test_every_api_of_the_kind_is_here() -> None:
    assert {each for each in get_args(Api) if ProviderSpec(api=each).weighs} == set(WIRES)
