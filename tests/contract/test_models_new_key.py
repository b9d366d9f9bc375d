"""A provider's key that is replaced while calls run."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from aiohttp import web

from tests.contract.apis import CALLS
from tests.listening import listening
from worker.domain.providers import ProviderSpec
from worker.errors import ModelDown, ProviderPaused
from worker.providers import Client

HOST = "127.0.0.1"


class Server:
    """Refuses every key but the one named `new`, each when it is told to."""

    def __init__(self) -> None:
        self.url = ""
        self.seen: list[tuple[str | None, str]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.asked = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        key = request.headers.get("Authorization")
        self.seen.append((key, request.query_string))
        self.asked.set()
        await self.may_answer.wait()
        if key != "Bearer new":
            error = {"message": "Incorrect API key", "code": "invalid_api_key", "type": "invalid_request_error"}
            return web.json_response({"error": error}, status=401)
        return web.json_response(
            {"error": {"message": "input is missing", "type": "invalid_request_error"}}, status=400
        )


@pytest.fixture
async def keys() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    async with listening(app) as address:
        server.url = f"{address}/v1"
        yield server


async def test_the_next_request_bears_what_is_used_now(keys: Server) -> None:
    spec = ProviderSpec(base_url=keys.url, key="old", query={"version": "1"})
    async with Client.open(spec) as client:
        with pytest.raises(ProviderPaused):
            await client.takes("turn", "/responses")
        client.use(replace(spec, key="new", query={"version": "2"}))
        await client.takes("turn", "/responses")
        client.use(replace(spec, key="newest", key_header="api-key", query={}))
        with pytest.raises(ProviderPaused):
            await client.takes("turn", "/responses")
    assert keys.seen == [("Bearer old", "version=1"), ("Bearer new", "version=2"), (None, "")]


@pytest.mark.parametrize("call", sorted(set(CALLS.values())))
async def test_a_refusal_of_a_replaced_key_says_nothing_of_the_new_one(keys: Server, call: str) -> None:
    spec = ProviderSpec(base_url=keys.url, key="old")
    keys.may_answer.clear()
    async with Client.open(spec) as client:
        asking = asyncio.create_task(client.takes(call, "/responses"))
        await keys.asked.wait()
        client.use(replace(spec, key="new"))
        keys.may_answer.set()
        with pytest.raises(ModelDown, match="refused with a key that has been replaced since") as caught:
            await asking
        assert not isinstance(caught.value, ProviderPaused)
        await client.takes(call, "/responses")
