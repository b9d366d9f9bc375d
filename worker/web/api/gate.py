"""What every request passes: token, rate, size, and what every answer carries."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.web.api.access import Access
from worker.web.api.problems import problem

_STARTS = frozenset({"http.response.start", "websocket.http.response.start", "websocket.accept"})
OPEN_PATHS = frozenset({"/api/openapi.json"})
"""Below /api all else wants a token: a route that forgets to ask is closed."""
LARGEST_BODY = 64 * 1024
LONGEST_ADDRESS = 8 * 1024


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests at once, and so many per second in the long run, for each token or address."""

    burst: int = 200
    per_second: float = 50
    remembered: int = 10_000


class Buckets:
    """A token bucket for each name; the one that was not used for longest is forgotten first, which fills it."""

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._filled = OrderedDict[str, tuple[float, float]]()

    def take(self, name: str) -> timedelta:
        """Take one request; how long to wait for it if there is none, else nothing."""
        now = self._clock()
        level, at = self._filled.pop(name, (float(self._rate.burst), now))
        level = min(self._rate.burst, level + (now - at) * self._rate.per_second)
        allowed = level >= 1
        self._filled[name] = (level - allowed, now)
        if len(self._filled) > self._rate.remembered:
            self._filled.popitem(last=False)
        return timedelta(0) if allowed else timedelta(seconds=(1 - level) / self._rate.per_second)


class Gate:
    """Stands before an application. `report` gets what nobody foresaw; the answer says nothing of it."""

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        *,
        report: Callable[[Exception], None],
        frame_ancestors: Sequence[str] = (),
        rate: Rate | None = None,
    ) -> None:
        self._app = app
        self._access = access
        self._report = report
        self._policy = content_policy(frame_ancestors)
        self._framed = bool(frame_ancestors)
        self._buckets = Buckets(rate or Rate())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or one socket."""
        if scope["type"] not in ("http", "websocket"):
            return  # no start and stop of an application's own
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] in _STARTS:
                started = True
                message.setdefault("headers", [])
                self._dress(scope, MutableHeaders(scope=message))
            await send(message)

        try:
            await self._pass(scope, receive, answer)
        except Exception as exc:  # noqa: BLE001 - its text may quote what was said, so nobody further out gets it
            self._report(exc)
            if not started:
                await problem(500)(scope, receive, answer)
            elif scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1011})

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        grant = self._access.grant(scope)
        client = (scope.get("client") or ("?", 0))[0]
        # The refused have buckets of their own: a page from elsewhere uses up nothing of the person's who opened it.
        name = grant.id if grant else client
        wait = self._buckets.take(name)
        if wait:
            seconds = str(int(wait.total_seconds()) + 1)
            return await problem(429, headers={"Retry-After": seconds})(scope, receive, send)
        if grant is None and _is_api(scope) and scope["path"] not in OPEN_PATHS:
            return await problem(401)(scope, receive, send)
        if status := _too_large(scope):
            return await problem(status)(scope, receive, send)
        scope["grant"] = grant
        if scope["type"] == "http":
            return await self._app(scope, receive, send)
        if not _is_same_origin(scope):
            return await problem(403, "No page from elsewhere may open a socket here.")(scope, receive, send)
        return await self._app(scope, self._paced(receive, name), send)

    def _paced(self, receive: Receive, name: str) -> Receive:
        """Let a socket's client say no more than it could ask: what is too much waits, and the client with it."""

        async def paced() -> Message:
            message = await receive()
            if message["type"] == "websocket.receive":
                await asyncio.sleep(self._buckets.take(name).total_seconds())
            return message

        return paced

    def _dress(self, scope: Scope, headers: MutableHeaders) -> None:
        headers["Content-Security-Policy"] = self._policy
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        if not self._framed:
            headers["X-Frame-Options"] = "DENY"
        if _is_api(scope):
            headers["Cache-Control"] = "no-store"


def content_policy(frame_ancestors: Sequence[str]) -> str:
    """Say what a page of ours may load, and who may show it in a frame: nobody, unless it is said."""
    frames = " ".join(frame_ancestors) or "'none'"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        f"frame-ancestors {frames}; base-uri 'none'; form-action 'self'"
    )


def _is_same_origin(scope: Scope) -> bool:
    """Whether no page from elsewhere asks: browsers let any page open a socket anywhere, and say which one it was."""
    headers = Headers(scope=scope)
    return headers.get("origin") is None or urlsplit(headers["origin"]).netloc == headers.get("host")


def _is_api(scope: Scope) -> bool:
    path: str = scope["path"]
    return path == "/api" or path.startswith("/api/")


def _too_large(scope: Scope) -> int | None:
    """Find the status for what we never want. Servers let no more of a body in than was announced."""
    headers = Headers(scope=scope)
    announced = headers.get("content-length", "0")
    if len(scope["path"]) + len(scope["query_string"]) > LONGEST_ADDRESS:
        return 414
    if "transfer-encoding" in headers:
        return 411
    return None if announced.isdecimal() and int(announced) <= LARGEST_BODY else 413
