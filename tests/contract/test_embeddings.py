"""Embeddings over the scripted server: read as they are, and refused where they are none."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError

from tests.contract.questions import KEY
from worker.demo.model import ModelServer
from worker.demo.model.embeddings import numbers
from worker.domain.providers import ProviderSpec
from worker.errors import BadRequest, ModelDown, ModelUnknown, ProviderPaused, WorkerError
from worker.providers import Client, Embeddings

MODEL = "text-embedding-3-small"


@pytest.fixture
async def embeddings(server: ModelServer) -> AsyncIterator[Embeddings]:
    async with Client.open(ProviderSpec(key=KEY, base_url=server.base_url)) as client:
        yield Embeddings(client, MODEL)


async def test_texts_come_back_as_numbers_in_their_order(embeddings: Embeddings, server: ModelServer) -> None:
    assert await embeddings.embed(["One crane.", "Two pumps."]) == [numbers("One crane."), numbers("Two pumps.")]
    [asked] = server.requests("embeddings.create")
    assert asked["body"] == {"model": MODEL, "input": ["One crane.", "Two pumps."], "encoding_format": "float"}


async def test_openais_own_client_reads_the_same(openai: AsyncOpenAI, server: ModelServer) -> None:
    openai.api_key = KEY
    found = await openai.embeddings.create(model=MODEL, input=["One crane.", "Two pumps."])
    assert [each.embedding for each in found.data] == [
        pytest.approx(numbers(each)) for each in ("One crane.", "Two pumps.")
    ]
    with pytest.raises(BadRequestError):
        await openai.embeddings.create(model=MODEL, input=[""])
    with pytest.raises(NotFoundError):
        await openai.embeddings.create(model="gpt-5", input="x")
    assert len(server.requests("embeddings.create")) == 3


def test_words_that_begin_alike_are_close_and_others_are_not() -> None:
    def closeness(one: str, other: str) -> float:
        return sum(a * b for a, b in zip(numbers(one), numbers(other), strict=True))

    assert closeness("cranes", "crane") == pytest.approx(1)
    assert closeness("crane", "pump") == 0


def row(index: int, *values: Any) -> dict[str, Any]:
    return {"object": "embedding", "index": index, "embedding": list(values)}


@pytest.mark.parametrize(
    "data",
    [
        [],
        [row(0, 1.0)],
        [row(0, 1.0), row(0, 1.0)],
        [row(0, 1.0), row(1, 1.0, 2.0)],
        [row(0, 1.0), row(1)],
        [row(0, 1.0), row(1, "x")],
        [row(0, 1.0), row(1, 1e999)],
        [row(0, *[1.0] * 16_001), row(1, *[1.0] * 16_001)],
        "nothing",
    ],
    ids=str,
)
async def test_what_is_no_numbers_for_each_text_is_an_error(
    embeddings: Embeddings, server: ModelServer, data: Any
) -> None:
    server.fault("embeddings.create", reply={"status": 200, "json": {"object": "list", "data": data}})
    with pytest.raises((ModelDown, ModelUnknown)):
        await embeddings.embed(["One crane.", "Two pumps."])


@pytest.mark.parametrize(
    ("reply", "error"), [("unauthorized", ProviderPaused), ("rate_limit", ModelDown), ("server_error", WorkerError)]
)
async def test_refusals_are_what_they_are_for_any_call(
    embeddings: Embeddings, server: ModelServer, reply: str, error: type[Exception]
) -> None:
    server.fault("embeddings.create", reply=reply)
    with pytest.raises(error):
        await embeddings.embed(["One crane."])


async def test_a_text_that_is_refused_is_known_as_that(embeddings: Embeddings) -> None:
    with pytest.raises(BadRequest):
        await embeddings.embed(["One crane.", ""])
