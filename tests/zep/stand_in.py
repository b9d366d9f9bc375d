"""A stand-in for Zep Cloud, in both dialects at once: written from the official SDK's code, which is also its judge.

It offers no call that the SDK lacks. What it does otherwise than a service that is well is set on it by tests.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.listening import listening
from tests.zep.api import Refused
from tests.zep.api_v2 import V2Api
from tests.zep.api_v4 import V4Api
from tests.zep.store import Message, Store, Thread, User
from worker.domain import foreign

KEY = "z_secret"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Step = Callable[[str], Awaitable[None]]


@dataclass
class Fault:
    """Answers so in place of what would be said to requests that look so, as often as `times` says.

    `lands`: the request has its effect all the same. Without a status the connection is cut.
    """

    like: str
    status: int | None = None
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    lands: bool = False

    def answer(self, request: web.Request) -> web.Response:
        if self.status is None:
            assert request.transport is not None
            request.transport.abort()
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        kind = "text/html" if isinstance(self.body, str) else "application/json"
        return web.Response(status=self.status or 500, text=text, content_type=kind, headers=self.headers)


class ZepStandIn:
    """Serves one project. `before` and `after` are awaited around the effect of each request, and told which it is.

    To make a user or a thread takes it `slowness` seconds. `later`: what is deleted is there until `finish`. `exists`
    is what v2 says to whom makes again what there is.
    """

    def __init__(self) -> None:
        self.url = ""
        self.keys = {KEY}
        self.store = Store()
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.bodies: list[Any] = []
        self.before: Step | None = None
        self.after: Step | None = None
        self.later = False
        self.slowness = 0.0
        self.exists = 400
        self._pending: list[Callable[[], None]] = []
        self._going: list[object] = []
        self._answered: dict[str, tuple[Any, web.Response | None]] = {}

    def ingest(self) -> None:
        self.store.ingest()

    def delete(self, what: object, drop: Callable[[], None]) -> bool:
        """Delete now, or later; False if that goes on already."""
        if any(each is what for each in self._going):
            return False
        if self.later:
            self._going.append(what)
            self._pending.append(drop)
        else:
            drop()
        return True

    def finish(self) -> None:
        """Have deleted what was ordered to be."""
        for drop in self._pending:
            drop()
        self._pending, self._going = [], []

    def add_user(self, user_id: str, metadata: dict[str, Any]) -> User:
        """Have a user that somebody made."""
        user = User(user_id, metadata)
        self.store.users.append(user)
        return user

    @property
    def contents(self) -> list[str]:
        """All messages in their order, thread by thread."""
        return [each.content for thread in self.store.threads for each in thread.messages]

    @property
    def messages(self) -> list[Message]:
        return [each for thread in self.store.threads for each in thread.messages]

    @property
    def threads(self) -> list[Thread]:
        return self.store.threads

    @property
    def users(self) -> list[User]:
        return self.store.users

    def forget_keys(self) -> None:
        """Know no key of idempotency any more."""
        self._answered.clear()

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        what = f"{request.method} {request.path_qs}"
        self.requests.append(what)
        self.bodies.append(_body(await request.read()))
        if self.before is not None:
            await self.before(what)
        if (fault := self._fault(what)) is not None:
            if fault.lands:
                await self._done(request, handler)
            return fault.answer(request)
        answer = await self._done(request, handler)
        if self.after is not None:
            await self.after(what)
        return answer

    def _fault(self, what: str) -> Fault | None:
        for fault in self.faults:
            if fault.times and re.search(fault.like, what):
                fault.times -= 1
                return fault
        return None

    async def _done(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        is_v4 = request.path.startswith("/api/v4/")
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Api-Key" or key not in self.keys:
            return refusal(401, "unauthorized", v4=is_v4)
        if not is_v4 or request.method == "GET":
            return await self._handled(request, handler, v4=is_v4)
        name = request.headers.get("Idempotency-Key")
        if name is None:
            return refusal(400, "the SDK sends a key with everything that is no GET", v4=True)
        same = (request.method, request.path, await request.text())
        if name in self._answered:
            before, answer = self._answered[name]
            if before != same or answer is None:
                return refusal(409, "the idempotency key is in use", v4=True)
            return web.Response(status=answer.status, body=answer.body, content_type="application/json")
        self._answered[name] = (same, None)
        answer = await self._handled(request, handler, v4=True)
        if answer.status < 400:
            self._answered[name] = (same, answer)
        else:
            del self._answered[name]
        return answer

    async def _handled(self, request: web.Request, handler: Handler, *, v4: bool) -> web.Response:
        makes = request.method == "POST" and request.path.endswith(("/users", "/threads"))
        await asyncio.sleep(self.slowness if makes else 0)  # others come between
        try:
            answer = await handler(request)
        except Refused as exc:
            return refusal(exc.status, str(exc), v4=v4)
        except web.HTTPNotFound:
            return refusal(404, "no such path", v4=v4)
        except web.HTTPMethodNotAllowed:
            return web.Response(status=405, text="Method Not Allowed")
        assert isinstance(answer, web.Response)
        return answer


def refusal(status: int, message: str, *, v4: bool) -> web.Response:
    """An error in the words of a dialect."""
    said = {"error": {"code": str(status), "message": message}} if v4 else {"message": message}
    return web.json_response(said, status=status)


def _body(content: bytes) -> Any:
    return foreign.read(content) if content else None


@asynccontextmanager
async def standing_in() -> AsyncIterator[ZepStandIn]:
    """Serve on a free port."""
    zep = ZepStandIn()

    @web.middleware
    async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await zep._answer(request, handler)

    app = web.Application(middlewares=[around], client_max_size=8 * 1024 * 1024)
    V2Api(zep).register(app)
    V4Api(zep).register(app)
    async with listening(app) as zep.url:
        yield zep
