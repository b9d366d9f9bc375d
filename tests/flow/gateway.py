"""A gateway before the engine: it can ask for a token and for TLS, and remembers what came through."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import aiohttp
from aiohttp import web

from tests.listening import listening

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Passed:
    """One request that came through. `at` is monotonic; `body` is the JSON of it, None where there was none."""

    at: float
    path: str
    body: Any


@dataclass(slots=True)
class Gateway:
    """Hands every request on. With `accepts`, only those with such an Authorization; others are counted and get 401.

    Polls whose answer has `unwanted` in it are answered 400 when the engine has locked what they ask for, which is what
    engines do that cannot write a task down.
    `path` is where it has the engine's REST interface; elsewhere it has nothing.
    `instead` has the JSON that is answered in the engine's place for paths that end so.
    """

    target: str
    accepts: Callable[[str | None], bool] | None = None
    path: str = "/engine-rest"
    url: str = ""
    passed: list[Passed] = field(default_factory=list)
    denied: int = 0
    unwanted: str = ""
    refused: int = 0
    instead: dict[str, Any] = field(default_factory=dict)

    def requests(self, path: str) -> list[Passed]:
        """What came through to paths that end so."""
        return [each for each in self.passed if each.path.endswith(path)]

    async def answer(self, request: web.Request) -> web.Response:
        """Hand one request on."""
        if self.accepts is not None and not self.accepts(request.headers.get("Authorization")):
            self.denied += 1
            return web.json_response({"type": "AuthenticationException", "message": "who?"}, status=401)
        if not request.path.startswith(self.path):
            return web.Response(status=404, text="nothing here")
        text = await request.read()
        self.passed.append(Passed(monotonic(), request.path, await request.json() if text else None))
        for path, answer in self.instead.items():
            if request.path.endswith(path):
                return web.json_response(answer)
        headers = {name: value for name, value in request.headers.items() if name in {"Content-Type", "Accept"}}
        url = self.target + request.path_qs.removeprefix(self.path)
        async with aiohttp.request(request.method, url, data=text, headers=headers) as reply:
            body = await reply.read()
            if self.unwanted and request.path.endswith("/fetchAndLock") and self.unwanted.encode() in body:
                self.refused += 1
                return web.json_response({"type": "InvalidRequestException", "message": ""}, status=400)
            return web.Response(status=reply.status, body=body, content_type=reply.content_type)


@asynccontextmanager
async def gateway(
    target: str,
    *,
    accepts: Callable[[str | None], bool] | None = None,
    tls: ssl.SSLContext | None = None,
    path: str = "/engine-rest",
) -> AsyncIterator[Gateway]:
    """Listen on a free port, before the engine whose REST interface is at `target`."""
    door = Gateway(target.rstrip("/"), accepts, path)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", door.answer)
    async with listening(app, tls=tls) as address:
        door.url = f"{address}{path}"
        yield door
