"""Feeds over HTTP, served by the real server from a real SQLite file."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest

from tests.api.client import GUEST, NO_CALLS, OPERATOR, TOKENS, VIEWER, Api
from tests.api.conftest import KEYS
from tests.api.reading import EventStream, event_stream
from tests.api.test_asks import Orders, Threads
from tests.fakes.following import FakeTasks, FakeWindows
from tests.fakes.instances import FakeInstances
from tests.records import exchange
from tests.waiting import wait_until
from worker.chat.desk import Desk
from worker.chat.ports import ChatPorts
from worker.domain.asks import chat_key
from worker.domain.conversations import session_id
from worker.domain.people import RIGHTS
from worker.ports.rates import Rate
from worker.transcript import Database, SqlAsks, SqlTranscriptReader, SqlTranscriptWriter
from worker.web.api import Access, Intake, app, asking, serve, server
from worker.web.feeds import Feeds, following, sockets

NORTH = "north-0123456789abcdef"
A = session_id(KEYS["a"])
B = session_id(KEYS["b"])


@dataclass
class Served:
    """The API with feeds."""

    session: aiohttp.ClientSession
    access: Access
    feeds: Feeds
    windows: FakeWindows
    transcript: SqlTranscriptWriter
    port: int

    def feed(
        self, path: str = f"sessions/{A}/feed", token: str = OPERATOR, last_id: str = ""
    ) -> AbstractAsyncContextManager[EventStream]:
        return event_stream(self.session, f"/api/{path}", token, last_id)

    async def record(self, number: int) -> None:
        await self.transcript.record(exchange(number, KEYS["a"], process_instance_id="instance-a"))


@asynccontextmanager
async def serving(
    database: Database,
    transcript: SqlTranscriptWriter,
    most: int = 500,
    most_each: int = 500,
    rate: Rate = Rate(burst=10_000),  # noqa: B008 - it is frozen
    asks: bool = True,
) -> AsyncIterator[Served]:
    asker = {NORTH: {"rights": ["read", "ask"], "tenants": ["north"]}}
    windows, access = FakeWindows(), Access.of(json.dumps(json.loads(TOKENS) | asker))
    conversations = SqlTranscriptReader(database)
    book = SqlAsks(database, engine="default")
    ports = ChatPorts(book, conversations, Orders(), FakeInstances(), Threads())  # type: ignore[arg-type]  # the methods that are needed
    desk = Desk(ports, lambda: None)
    feeds = Feeds(conversations, windows, engine="default", tasks=FakeTasks(), most=most, most_each=most_each)
    application = app(
        conversations,
        NO_CALLS,
        access,
        report=_raise,
        rate=rate,
        extend=[
            following(feeds, access),
            sockets(feeds, access, Intake(desk, conversations) if asks else None),
            asking(desk, conversations),
        ],
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(feeds)
        port = await stack.enter_async_context(serve(application, "127.0.0.1", 0))
        stack.callback(feeds.close)
        session = aiohttp.ClientSession(f"http://127.0.0.1:{port}", connector=aiohttp.TCPConnector(limit=0))
        await stack.enter_async_context(session)
        yield Served(session, access, feeds, windows, transcript, port)


def _raise(error: Exception) -> None:
    raise AssertionError("unforeseen") from error


@pytest.fixture
async def served(database: Database, transcript: SqlTranscriptWriter) -> AsyncIterator[Served]:
    async with serving(database, transcript) as served:
        yield served


async def test_what_somebody_has_beside_all_processes_is_followed_by_them_alone(
    served: Served, database: Database
) -> None:
    [whose, *_] = [each for each in served.access._grants if each.rights >= RIGHTS]
    thread = chat_key("default", "north", whose.speaker, "analyst", "1")
    await SqlAsks(database, engine="default").begin(thread, whose.speaker)
    path = f"sessions/{session_id(thread)}/feed"
    assert (await Api(served.session, VIEWER).get(f"/api/{path}")).status == 404
    async with served.feed(path) as stream:
        await served.transcript.record(exchange(1, thread, process_instance_id="", activity_id="", definition_key=""))
        assert await contents(stream, 2) == ["Question 1?", "Answer 1."]


async def contents(stream: EventStream, count: int) -> list[str]:
    return [(await stream.next("message")).data["content"] for _ in range(count)]


async def test_a_feed_says_what_was_said_and_goes_on_from_the_last_event(served: Served) -> None:
    async with served.feed() as stream:
        assert stream.response.content_type == "text/event-stream"
        assert stream.response.headers["Cache-Control"] == "no-store"
        assert await contents(stream, 3) == ["Question 1?", "Answer 1.", "Question 2?"]
        last_id = stream.last_id
    await served.record(3)
    async with served.feed(last_id=last_id) as stream:
        assert await contents(stream, 3) == ["Answer 2.", "Question 3?", "Answer 3."]
        await served.record(4)
        assert await contents(stream, 2) == ["Question 4?", "Answer 4."]
        last_id = stream.last_id
    async with served.feed(f"sessions/{A}/feed?after={last_id}") as stream:
        await served.record(5)
        assert await contents(stream, 2) == ["Question 5?", "Answer 5."]
    async with served.feed("instances/instance-a/feed?after=now") as stream:
        await stream.next("state")
        await served.record(6)
        assert await contents(stream, 2) == ["Question 6?", "Answer 6."]


async def test_a_message_looks_in_a_feed_as_it_does_everywhere(served: Served) -> None:
    page = await Api(served.session, OPERATOR).get(f"/api/sessions/{A}/messages")
    async with served.feed() as stream:
        assert [(await stream.next("message")).data for _ in range(4)] == page.json["items"]


async def test_an_answer_is_read_while_it_is_written(served: Served) -> None:
    async with served.feed(f"sessions/{A}/feed?after=now") as stream:
        await stream.next("state")
        served.windows.tell(KEYS["a"], "Take the\ncheap ü one.", task="task-9")
        heard = await stream.next("delta")
    assert heard.data == {
        "session_id": A,
        "task_id": "task-9",
        "attempt": 1,
        "offset": 0,
        "text": "Take the\ncheap ü one.",
    }
    served.windows.tell(KEYS["a"], " Or none.", task="task-9")
    async with served.feed(last_id=heard.id) as stream:
        again = await stream.next("delta")
    assert (again.data["offset"], again.data["text"]) == (21, " Or none.")


async def test_feeds_want_a_token_and_show_it_no_more_than_it_may_see(served: Served) -> None:
    async def status(path: str, token: str | None) -> int:
        return (await Api(served.session, token).get(f"/api/{path}")).status

    assert await status(f"sessions/{A}/feed", None) == 401
    assert await status(f"sessions/{A}/feed", VIEWER) == 404
    assert await status("instances/instance-a/feed", VIEWER) == 404
    assert await status(f"sessions/{B}/feed", GUEST) == 404
    assert await status(f"sessions/{'0' * 32}/feed", OPERATOR) == 404
    assert await status(f"sessions/{A}/feed?after=nonsense", OPERATOR) == 404
    async with served.feed(token=GUEST) as stream:
        assert await contents(stream, 1) == ["Question 1?"]


async def test_a_token_that_is_taken_away_ends_its_feeds(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.web.feeds.feed.BEAT_SECONDS", 0.1)
    async with served.feed(token=GUEST) as stream:
        await contents(stream, 4)
        served.access.use(Access.of(f'{{"{OPERATOR}": "operator"}}'))
        assert "right" in (await stream.next("closing")).data["reason"]
        with pytest.raises(EOFError):
            await stream.next()


async def test_one_feed_too_many_is_refused_and_a_closed_one_makes_room(
    database: Database, transcript: SqlTranscriptWriter
) -> None:
    async with serving(database, transcript, most=3, most_each=2) as served:
        operator, guest = Api(served.session, OPERATOR), Api(served.session, GUEST)
        async with served.feed():
            async with served.feed():
                refused = await operator.get(f"/api/sessions/{A}/feed")
                assert (refused.status, refused.json["title"]) == (429, "Too Many Requests")
                assert "2 feeds of yours" in refused.json["detail"]
                async with served.feed(token=GUEST):
                    assert "no room" in (await guest.get(f"/api/sessions/{A}/feed")).json["detail"]

            async def admitted() -> bool:
                async with served.session.get(
                    f"/api/sessions/{A}/feed", headers={"Authorization": f"Bearer {OPERATOR}"}
                ) as reply:
                    return reply.status == 200

            await wait_until(admitted)


async def test_open_feeds_keep_no_request_out(served: Served) -> None:
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(served.feed()) for _ in range(2 * server.CONNECTIONS)]
        for _ in range(3):
            async with aiohttp.ClientSession(f"http://127.0.0.1:{served.port}") as session:
                assert (await Api(session, OPERATOR).get("/api/counts")).status == 200
        await served.record(3)
        for each in streams:
            assert await contents(each, 6) == [
                text for number in (1, 2, 3) for text in (f"Question {number}?", f"Answer {number}.")
            ]


async def test_a_stop_ends_every_feed_with_its_reason_and_waits_for_none(
    database: Database, transcript: SqlTranscriptWriter
) -> None:
    async with AsyncExitStack() as stack:
        async with serving(database, transcript) as served:
            streams = [
                await stack.enter_async_context(event_stream(served.session, f"/api/sessions/{A}/feed", OPERATOR))
                for _ in range(20)
            ]
            for each in streams:
                await contents(each, 4)
            reading = [asyncio.create_task(each.next("closing"), name="reader") for each in streams]
            stack.push_async_callback(served.session.close)
            served.feeds.close()
            started = time.monotonic()
            reasons = {(await each).data["reason"] for each in reading}
        assert time.monotonic() - started < 5
    assert reasons == {"The worker stops. Connect again and go on from your place."}
