"""Applications in one process: routes are built once, and each application gives them ports of its own."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

import aiohttp
from fastapi import FastAPI

from tests.api.client import NO_CALLS, OPERATOR, TOKENS, Api
from tests.fakes.board import Board
from worker.domain.stops import Stop
from worker.web.api import Access, app, serve, stopping
from worker.web.api.routing import Extension

NOBODY = cast("Any", None)
AT = datetime(2026, 5, 4, tzinfo=UTC)


@asynccontextmanager
async def served(*extend: Extension) -> AsyncIterator[Api]:
    crashed: list[Exception] = []
    application = app(NOBODY, NO_CALLS, Access.of(TOKENS), report=crashed.append, extend=extend)
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serve(application, "127.0.0.1", 0))
        yield Api(await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}")), OPERATOR)
    assert crashed == []


async def test_each_application_asks_its_own_ports() -> None:
    boards = [Board([Stop("assistant", name, "ann", AT)]) for name in ("analyst", "critic")]
    async with served(stopping(boards[0], {})) as one, served(stopping(boards[1], {})) as other:
        stopped = [(await each.get("/api/stops")).json for each in (one, other)]
    assert [[stop["name"] for stop in each] for each in stopped] == [["analyst"], ["critic"]]


async def test_routes_that_another_application_has_are_not_there() -> None:
    async with served(stopping(Board(), {})) as one, served() as other:
        answers = [await each.get("/api/stops") for each in (one, other)]
        documents = [(await each.get("/api/openapi.json")).json for each in (one, other)]
    assert [each.status for each in answers] == [200, 404]
    assert ["/api/stops" in each["paths"] for each in documents] == [True, False]


def test_no_route_is_built_twice() -> None:
    applications = [FastAPI(openapi_url=None, docs_url=None, redoc_url=None) for _ in range(2)]
    for each in applications:
        each.state.ports = {}
        stopping(Board(), {})(each)
    one, other = [each.routes for each in applications]
    assert len(one) == 3
    assert [*map(id, one)] == [*map(id, other)]
