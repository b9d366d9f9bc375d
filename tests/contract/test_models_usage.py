"""What a turn took, by each of the three APIs, and what is read of usage that is not as it should be."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Protocol

import pytest

from tests.contract.questions import KEY, assistant, question
from worker.demo.model import ModelServer
from worker.domain.conversations import session_id
from worker.domain.providers import Api, ProviderSpec
from worker.domain.threads import Answer, Said, ThreadKey
from worker.providers import ChatModel, Client, OpenAIProvider, ResponsesModel
from worker.providers.wire import Usage

APIS: Sequence[Api] = ("conversations", "responses", "chat")
CACHE_KEY = session_id(ThreadKey("tests", "instance", "analyst"))
LONG = "A long beginning. " * 400


class Asking(Protocol):
    """Asks a question on what was said before."""

    async def __call__(self, text: str, *said: Said) -> Answer: ...


@asynccontextmanager
async def asking(api: Api, server: ModelServer, **of_spec: Any) -> AsyncIterator[Asking]:
    spec = ProviderSpec(api=api, base_url=server.base_url, key=KEY, **of_spec)
    async with Client.open(spec) as client:
        provider = OpenAIProvider(client)
        thread = await provider.create_thread({}) if api == "conversations" else ""
        model = ChatModel(client) if api == "chat" else ResponsesModel(client)

        async def ask(text: str, *said: Said) -> Answer:
            if api == "conversations":
                return await provider.ask(thread, replace(question(text), cache_key=CACHE_KEY), assistant())
            return await model.ask(said, text, assistant(), cache_key=CACHE_KEY)

        yield ask


@pytest.mark.parametrize("api", APIS)
async def test_cached_and_reasoning_tokens_are_told_with_the_answer(server: ModelServer, api: Api) -> None:
    async with asking(api, server) as ask:
        first = await ask(LONG)
        second = await ask("Go on.", Said("user", LONG), Said("assistant", first.text))

    assert (first.cached_tokens, first.cache_write_tokens, first.reasoning_tokens) == (0, 0, 64)
    assert second.input_tokens is not None
    assert second.cached_tokens is not None
    assert 1024 <= second.cached_tokens < second.input_tokens
    assert second.cached_tokens % 128 == 0


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("prompt_cache", [None, True, False])
async def test_the_threads_cache_key_is_sent_only_where_the_provider_takes_it(
    server: ModelServer, api: Api, *, prompt_cache: bool | None
) -> None:
    async with asking(api, server, prompt_cache=prompt_cache) as ask:
        await ask("Why?")
        await ask("Why not?")

    calls = server.requests("chat.completions.create") + server.requests("responses.create")
    keys = [each["body"].get("prompt_cache_key") for each in calls]
    assert keys == [CACHE_KEY if prompt_cache else None] * 2, "a server with an address of its own may not know it"


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        ({}, (None, None, None, None, None)),
        ({"input_tokens": 7, "output_tokens": 3}, (7, 3, None, None, None)),
        ({"prompt_tokens": 7, "completion_tokens": 3}, (7, 3, None, None, None)),
        (
            {
                "prompt_tokens": 7,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
                "completion_tokens": 3,
                "completion_tokens_details": {"reasoning_tokens": 1},
            },
            (7, 3, 4, 2, 1),
        ),
        (
            {
                "input_tokens": 7,
                "input_tokens_details": {"cached_tokens": "many"},
                "output_tokens": -1,
                "output_tokens_details": None,
            },
            (7, None, None, None, None),
        ),
        ({"input_tokens": 7, "input_tokens_details": [1], "output_tokens": 3}, (7, 3, None, None, None)),
    ],
)
def test_usage_that_is_partly_told_is_partly_known(usage: dict[str, Any], read: tuple[int | None, ...]) -> None:
    answer = Usage.model_validate(usage).on(Answer(""))

    tokens = answer.input_tokens, answer.output_tokens
    assert (*tokens, answer.cached_tokens, answer.cache_write_tokens, answer.reasoning_tokens) == read
