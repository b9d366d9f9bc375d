"""The scripted server's decision questions, by OpenAI's own client and by the wire that others have."""

from typing import Any

import pytest
from aiohttp import ClientSession
from openai import BadRequestError, NotFoundError

from tests.contract.provider_client import client_of
from tests.contract.questions import KEY
from worker.demo.model import ModelServer

FIT: dict[str, Any] = {"type": "predicate", "name": "fit", "instructions": "?"}


async def test_openais_own_client_reads_what_the_server_answers(server: ModelServer) -> None:
    server.weigh(urgency=[0.1, 0.2, 0.7], fit=None)
    levels: list[Any] = [{"label": each} for each in "abc"]
    async with client_of(server.base_url, KEY) as client:
        decision = await client.decisions.create(
            model="gpt-6-luna",
            input=[{"role": "developer", "content": "Be strict."}, {"role": "user", "content": "A drone."}],
            questions=[
                {"type": "score", "name": "urgency", "instructions": "?", "levels": levels},
                {"type": "choice", "name": "go", "instructions": "?", "choices": [{"value": True}, {"value": False}]},
                {"type": "predicate", "name": "fit", "instructions": "?"},
            ],
        )

    score, choice, refusal = decision.answers
    assert score.type == "score"
    assert score.score == pytest.approx(1.6)
    assert [each.value for each in score.probabilities] == [0, 1, 2]
    assert choice.type == "choice"
    assert choice.choice is True
    assert refusal.type == "refusal"
    assert decision.usage.total_tokens > 0


@pytest.mark.parametrize(
    "question",
    [
        {**FIT, "instructions": ""},
        {**FIT, "type": "noul"},
        {**FIT, "confidence": 0.9},
        {**FIT, "type": "choice", "choices": [{"value": "a"}]},
        {**FIT, "type": "choice", "choices": [{"value": "a"}, {"value": "a"}]},
        {**FIT, "type": "score", "levels": []},
    ],
    ids=str,
)
async def test_questions_that_openai_would_refuse_are_refused(server: ModelServer, question: Any) -> None:
    async with client_of(server.base_url, KEY) as client:
        with pytest.raises(BadRequestError):
            await client.decisions.create(model="gpt-6-luna", input="A drone.", questions=[question])
        with pytest.raises(BadRequestError):
            await client.decisions.create(model="gpt-6-luna", input="A drone.", questions=[FIT] * 401)  # type: ignore[list-item]  # a dict of that form
        with pytest.raises(NotFoundError):
            await client.decisions.create(model="elsewhere", input="A drone.", questions=[FIT])  # type: ignore[list-item]  # as above


async def test_the_other_wire_leaves_out_what_is_refused(server: ModelServer) -> None:
    server.weigh(fit=0.25, route=None)
    body = {
        "model": "gpt-6-luna",
        "state": "A drone.",
        "questions": {
            "fit": {"type": "noul", "instructions": "?"},
            "route": {"type": "choice", "instructions": "?", "criteria": {"a": None, "b": "the other"}},
            "urgency": {"type": "score", "instructions": "?", "criteria": ["low", "high"]},
        },
    }
    async with ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session:
        async with session.post(f"{server.base_url}/systemone", json=body) as reply:
            answers = (await reply.json())["answers"]
        async with session.post(f"{server.base_url}/systemone", json={"model": "gpt-6-luna"}) as refused:
            assert refused.status == 422

    assert answers.keys() == {"fit", "urgency"}
    assert answers["fit"] == {"type": "noul", "noul": 0.25}
    assert answers["urgency"]["legend"] == {"0": "low", "1": "high"}
    assert answers["urgency"]["score"] == pytest.approx(0.1)
