"""What every request passes: token, rate, size, and what every answer carries."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import timedelta
from weakref import WeakValueDictionary

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.errors import IssuerDown, StoreDown
from worker.ports.rates import Rate, Rates
from worker.runtime.clock import monotonic
from worker.runtime.readers import READER
from worker.web.api.access import Access
from worker.web.api.grants import Grant, Sight
from worker.web.api.login import PATH as LOGIN
from worker.web.api.origins import is_welcome
from worker.web.api.problems import ISSUER_DOWN, TICKETS_DOWN, problem

_STARTS = frozenset({"http.response.start", "websocket.http.response.start", "websocket.accept"})
OPEN_PATHS = frozenset({"/api/openapi.json", LOGIN})
"""Below /api all else wants a token: a route that forgets to ask is closed."""
LARGEST_BODY = 64 * 1024
LONGEST_ADDRESS = 8 * 1024


REMEMBERED = 10_000
"""Names that buckets are kept for."""
ALONE_SECONDS = 5.0
"""For so long after a failure of Redis requests are counted here, so that none waits for it."""


class Buckets:
    """A token bucket for each name; the one that was not used for longest is forgotten first, which fills it."""

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic, remembered: int = REMEMBERED) -> None:
        self._rate = rate
        self._clock = clock
        self._remembered = remembered
        self._filled = OrderedDict[str, tuple[float, float]]()

    def take(self, name: str) -> timedelta:
        """Take one request; how long to wait for it if there is none, else nothing."""
        now = self._clock()
        level, at = self._filled.pop(name, (float(self._rate.burst), now))
        level = min(self._rate.burst, level + (now - at) * self._rate.per_second)
        allowed = level >= 1
        self._filled[name] = (level - allowed, now)
        if len(self._filled) > self._remembered:
            self._filled.popitem(last=False)
        return timedelta(0) if allowed else timedelta(seconds=(1 - level) / self._rate.per_second)


class Counting:
    """Counts requests: of who has a token in Redis, where that is to be had, else here. The refused count by address.

    So a page from elsewhere uses up nothing of the person's who opened it.
    """

    def __init__(self, rate: Rate, shared: Rates | None) -> None:
        self._rate = rate
        self._shared = shared
        self._buckets = Buckets(rate)
        self._alone_until = 0.0

    async def take(self, grant: Grant | None, client: str) -> timedelta:
        """Take one request; how long to wait for it if there is none, else nothing."""
        if grant is None or self._shared is None or grant.is_local or monotonic() < self._alone_until:
            return self._buckets.take(grant.who if grant else client)
        try:
            return await self._shared.take(grant.who, self._rate)
        except StoreDown:
            self._alone_until = monotonic() + ALONE_SECONDS
            return self._buckets.take(grant.who)


class Gate:
    """Stands before an application. `report` gets what nobody foresaw; the answer says nothing of it.

    Pages of `origins` may open sockets, as ours may.
    """

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        *,
        report: Callable[[Exception], None],
        frame_ancestors: Sequence[str] = (),
        connects: Sequence[str] = (),
        rate: Rate | None = None,
        rates: Rates | None = None,
        sight: Sight | None = None,
        origins: Sequence[str] = (),
    ) -> None:
        self._app = app
        self._access = access
        self._report = report
        self._policy = content_policy(frame_ancestors, connects)
        self._framed = bool(frame_ancestors)
        self._sight = sight
        self._origins = origins
        self._counting = Counting(rate or Rate(), rates)
        self._turns = WeakValueDictionary[str, asyncio.Lock]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or one socket."""
        if scope["type"] not in ("http", "websocket"):
            return  # no start and stop of an application's own
        started = is_gone = False

        async def answer(message: Message) -> None:
            nonlocal started, is_gone
            if message["type"] in _STARTS:
                started = True
                message.setdefault("headers", [])
                self._dress(scope, MutableHeaders(scope=message))
            try:
                await send(message)
            except OSError:  # so servers say that who asked is gone
                is_gone = True
                raise

        try:
            if scope["type"] == "http" and not _is_api(scope):
                # The page's own files have nothing of anybody's. It asks for forty as it opens, and behind a proxy all
                # have one address: counted, a few persons at once would each be refused a part of it.
                status = _too_large(scope)
                await (problem(status) if status else self._app)(scope, receive, answer)
            else:
                await self._pass(scope, receive, answer)
        except Exception as exc:  # noqa: BLE001 - its text may quote what was said, so nobody further out gets it
            if is_gone:
                return
            self._report(exc)
            if not started:
                await problem(500)(scope, receive, answer)
            elif scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1011})

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        grant, refusal = None, problem(401)
        try:
            grant = await self._access.grant(scope)
        except IssuerDown:
            refusal = problem(503, ISSUER_DOWN)
        except StoreDown:
            refusal = problem(503, TICKETS_DOWN)
        client = (scope.get("client") or ("?", 0))[0]
        # Before the refusal: whoever guesses tokens has only so many guesses.
        if wait := await self._counting.take(grant, client):
            seconds = str(int(wait.total_seconds()) + 1)
            return await problem(429, headers={"Retry-After": seconds})(scope, receive, send)
        if grant is None and _is_api(scope) and scope["path"] not in OPEN_PATHS:
            return await refusal(scope, receive, send)
        if status := _too_large(scope):
            return await problem(status)(scope, receive, send)
        scope["grant"], scope["sight"] = grant, self._sight
        reader = READER.set(grant.who if grant else client)
        try:
            if scope["type"] == "http":
                return await self._app(scope, receive, send)
            if not is_welcome(Headers(scope=scope), self._origins):
                return await problem(403, "No page from elsewhere may open a socket here.")(scope, receive, send)
            return await self._app(scope, self._paced(receive, grant, client), send)
        finally:
            READER.reset(reader)

    def _paced(self, receive: Receive, grant: Grant | None, client: str) -> Receive:
        """Let a socket's client say no more than it could ask: what is too much waits, and the client with it."""
        # Of all sockets of one client, one waits here, and the others for it: so however many there are, among them
        # those whose client has hung up meanwhile, requests of the same person come to their turn as well.
        turn = self._turns.setdefault(grant.who if grant else client, asyncio.Lock())

        async def paced() -> Message:
            message = await receive()
            if message["type"] == "websocket.receive":
                async with turn:
                    # Until it is taken: a request, or a socket at another worker, may have had it first.
                    while wait := await self._counting.take(grant, client):  # noqa: ASYNC110 - nobody tells when it is free
                        await asyncio.sleep(wait.total_seconds())
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


def content_policy(frame_ancestors: Sequence[str], connects: Sequence[str] = ()) -> str:
    """Say what a page of ours may load, whom it asks beside us, and who may show it in a frame: nobody by default."""
    frames = " ".join(frame_ancestors) or "'none'"
    asked = " ".join(["'self'", *connects])
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src {asked}; "
        f"frame-ancestors {frames}; base-uri 'none'; form-action 'self'"
    )


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
