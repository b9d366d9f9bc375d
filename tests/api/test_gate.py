"""Who is counted as whom, and whose pages may ask."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from tests.api.client import NO_CALLS, Api
from tests.waiting import wait_until
from worker.domain.people import Person
from worker.errors import StoreDown
from worker.ports.rates import Rate
from worker.runtime.readers import READER
from worker.transcript import Database, SqlTranscriptReader
from worker.web.api import Access, app, serve
from worker.web.api.gate import Counting, Gate
from worker.web.api.grants import Grant
from worker.web.api.origins import is_welcome

PORTAL = "https://portal.example"
ANN = "ann-0123456789abcdef"
BEN = "ben-0123456789abcdef"
TOKENS = json.dumps({ANN: {"role": "viewer", "name": "Ann"}})
BOTH = json.dumps({ANN: {"role": "viewer", "name": "Ann"}, BEN: {"role": "viewer", "name": "Ben"}})


@dataclass(slots=True)
class Shared:
    """Redis as the gate sees it: who was counted, and whether it is away."""

    away: bool = False
    counted: list[str] = field(default_factory=list)

    async def take(self, name: str, rate: Rate) -> timedelta:
        self.counted.append(name)
        if self.away:
            raise StoreDown("Redis is away")
        return timedelta(seconds=7) if len(self.counted) > rate.burst else timedelta(0)


def granted(token: str, name: str | None = None) -> Grant:
    return Grant(token, frozenset({"read"}), person=Person("token", name, name) if name else None)


async def test_a_person_is_counted_over_all_of_their_tokens_and_a_token_without_one_alone() -> None:
    shared = Shared()
    counting = Counting(Rate(burst=2), shared)
    for grant in (granted("one", "Ann"), granted("two", "Ann"), granted("three")):
        await counting.take(grant, "10.0.0.7")
    ann = Person("token", "Ann", "Ann").id
    assert shared.counted == [ann, ann, "three"]


async def test_the_refused_and_this_machine_are_counted_here_alone() -> None:
    shared = Shared()
    counting = Counting(Rate(burst=1, per_second=0.01), shared)
    for grant in (None, Grant("local", frozenset({"read"}))):
        assert [bool(await counting.take(grant, "10.0.0.7")) for _ in range(2)] == [False, True]
    assert not await counting.take(None, "10.0.0.8")
    assert shared.counted == []


async def test_without_redis_requests_are_counted_here_and_none_waits_for_it() -> None:
    shared = Shared(away=True)
    counting = Counting(Rate(burst=3, per_second=0.01), shared)
    taken = [bool(await counting.take(granted("one"), "10.0.0.7")) for _ in range(5)]
    assert taken == [False, False, False, True, True]
    assert len(shared.counted) == 1, "it is not asked again at once"


@asynccontextmanager
async def served(database: Database, **options: Any) -> AsyncIterator[Api]:
    application = app(SqlTranscriptReader(database), NO_CALLS, Access.of(TOKENS), report=print, **options)
    async with serve(application, "127.0.0.1", 0) as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        yield Api(session, ANN)


async def test_who_has_asked_too_often_of_any_worker_is_told_when_to_come_again(database: Database) -> None:
    shared = Shared()
    async with served(database, rate=Rate(burst=2), rates=shared) as api:
        answers = [await api.get("/api/counts") for _ in range(3)]
    assert [each.status for each in answers] == [200, 200, 429]
    assert answers[2].headers["Retry-After"] == "8"


async def test_files_of_the_page_are_refused_to_nobody_and_use_up_nothing(database: Database) -> None:
    """Behind a proxy everybody has one address, and each asks for forty of them as the page opens."""
    shared = Shared()
    async with served(database, rate=Rate(burst=1), rates=shared) as api:
        before = {(await api.get("/static/main.js")).status for _ in range(3)}
        assert (await api.get("/api/counts")).status == 200
        assert (await api.get("/api/counts")).status == 429
        assert {(await api.get("/static/main.js")).status for _ in range(3)} == before
    assert before == {404}, "there is no page here, and it was looked for"


async def test_what_is_read_is_read_for_who_asks() -> None:
    read_for: list[str] = []

    async def read(_scope: Scope, _receive: Receive, _send: Send) -> None:
        read_for.append(READER.get())

    async def nothing() -> Message:
        raise AssertionError("nobody says anything")

    async def nowhere(_: Message) -> None:
        raise AssertionError("nobody answers")

    for token in (ANN, BEN):
        scope = opening(token)
        scope["type"], scope["method"], scope["path"] = "http", "GET", "/api/counts"
        await Gate(read, Access.of(BOTH), report=print)(scope, nothing, nowhere)
    assert read_for == [Person("token", name, name).id for name in ("Ann", "Ben")]
    assert READER.get() == ""


async def test_who_is_gone_before_a_socket_is_let_in_is_no_error_of_ours() -> None:
    reported: list[Exception] = []

    async def let_in(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})

    async def gone(_: Message) -> None:
        raise ConnectionResetError

    async def nothing() -> Message:
        raise AssertionError("nobody listens")

    scope: Scope = {"type": "websocket", "client": ("127.0.0.1", 1), "path": "/api/feeds", "query_string": b""}
    scope["headers"] = [(b"host", b"127.0.0.1:8091")]
    await Gate(let_in, Access(), report=reported.append)(scope, nothing, gone)
    assert reported == []


def preflight(origin: str) -> dict[str, str]:
    wish = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    return {"Origin": origin, **wish}


def opening(token: str) -> Scope:
    """A socket that is to be opened."""
    scope: Scope = {"type": "websocket", "client": ("127.0.0.1", 1), "path": "/api/feeds", "query_string": b""}
    scope["headers"] = [(b"host", b"127.0.0.1:8091"), (b"authorization", f"Bearer {token}".encode())]
    return scope


@dataclass(slots=True)
class Waits:
    """Redis that has no request to spare for so often."""

    left: int = 0

    async def take(self, _name: str, _rate: Rate) -> timedelta:
        self.left -= 1
        return timedelta(milliseconds=5) if self.left >= 0 else timedelta(0)


async def test_over_many_sockets_a_person_says_no_more_than_over_one() -> None:
    """A message that waited may find that another socket's has taken its place: then it waits again."""
    rates, heard = Waits(), list[Message]()

    async def say() -> Message:
        return {"type": "websocket.receive", "text": "x"}

    async def hear(_scope: Scope, receive: Receive, _send: Send) -> None:
        rates.left = 3
        heard.append(await receive())
        assert rates.left == -1, "it was counted in the end"

    async def nothing(_: Message) -> None:
        raise AssertionError("nothing is said")

    await Gate(hear, Access.of(TOKENS), report=print, rates=rates)(opening(ANN), say, nothing)
    assert heard == [{"type": "websocket.receive", "text": "x"}]


async def test_of_many_sockets_of_one_person_one_asks_for_its_turn_at_a_time() -> None:
    asked, opened, heard = list[str](), list[Scope](), list[str]()
    all_open, free = asyncio.Event(), asyncio.Event()

    class Busy:
        """Redis that lets all sockets be opened, and then has nothing to spare until it is free."""

        async def take(self, name: str, _rate: Rate) -> timedelta:
            if all_open.is_set():
                asked.append(name)
                await free.wait()
            return timedelta(0)

    async def say() -> Message:
        return {"type": "websocket.receive", "text": "x"}

    async def hear(scope: Scope, receive: Receive, _send: Send) -> None:
        opened.append(scope)
        await all_open.wait()
        heard.append((await receive())["text"])

    async def nothing(_: Message) -> None:
        raise AssertionError("nothing is said")

    gate = Gate(hear, Access.of(BOTH), report=print, rates=Busy())
    async with asyncio.TaskGroup() as group:
        for token in (ANN, ANN, ANN, BEN):
            group.create_task(gate(opening(token), say, nothing))
        await wait_until(lambda: len(opened) == 4)
        all_open.set()
        await wait_until(lambda: len({*asked}) == 2)
        assert len(asked) == 2, "one of hers, and the other person's"
        free.set()
    assert heard == ["x"] * 4


async def test_a_page_of_a_listed_origin_may_say_where_its_feed_goes_on(database: Database) -> None:
    wish = preflight(PORTAL) | {"Access-Control-Request-Headers": "authorization,last-event-id"}
    async with served(database, origins=[PORTAL]) as api:
        asked = await Api(api.session, None).get("/api/sessions/1/feed", "OPTIONS", headers=wish)
    assert asked.status == 200


async def test_pages_of_other_origins_are_closed_out(database: Database) -> None:
    async with served(database) as api:
        asked = await Api(api.session, None).get("/api/counts", "OPTIONS", headers=preflight(PORTAL))
        answer = await api.get("/api/counts", headers={"Origin": PORTAL})
    assert (asked.status, answer.status) == (401, 200)
    assert "Access-Control-Allow-Origin" not in {*asked.headers, *answer.headers}


async def test_pages_of_origins_that_are_listed_may_ask_with_a_token(database: Database) -> None:
    async with served(database, origins=[PORTAL]) as api:
        nobody = Api(api.session, None)
        asked = await nobody.get("/api/counts", "OPTIONS", headers=preflight(PORTAL))
        answer = await api.get("/api/counts", headers={"Origin": PORTAL})
        without = await nobody.get("/api/counts", headers={"Origin": PORTAL})
        other = await nobody.get("/api/counts", "OPTIONS", headers=preflight("https://evil.example"))
        others = await api.get("/api/counts", headers={"Origin": "https://evil.example"})
    assert (asked.status, answer.status, without.status) == (200, 200, 401)
    assert {each.headers["Access-Control-Allow-Origin"] for each in (asked, answer, without)} == {PORTAL}
    assert "Access-Control-Allow-Credentials" not in {*asked.headers, *answer.headers}
    assert answer.headers["Content-Security-Policy"]
    assert other.status == 400
    assert "Access-Control-Allow-Origin" not in {*other.headers, *others.headers}


@pytest.mark.parametrize(
    ("origin", "welcome"),
    [
        (None, True),
        ("https://worker.example", True),
        ("http://worker.example", True),  # what ends TLS before the worker says neither
        (PORTAL, True),
        ("https://portal.example.evil.example", False),
        ("https://worker.example:8443", False),
        ("https://evil.example", False),
        ("null", False),
        ("", False),
        ("http://[", False),
        ("https://worker.example:port", False),
    ],
)
def test_a_socket_is_opened_by_pages_of_ours_and_of_listed_origins(origin: str | None, *, welcome: bool) -> None:
    headers = {"host": "worker.example"} | ({} if origin is None else {"origin": origin})
    assert is_welcome(Headers(headers), [PORTAL]) is welcome
