"""Many feeds over one WebSocket, through the same gate as every request."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, get_args

import aiohttp
import pytest

from tests.api.client import GUEST, OPERATOR, VIEWER, Api
from tests.api.conftest import KEYS
from tests.api.test_feeds import NORTH, A, B, Served, serving
from tests.feeds_page import hold_message
from tests.hostile import PIECES
from tests.records import START
from tests.waiting import wait_until
from worker.domain.conversations import Subject
from worker.domain.watching import TurnSeen
from worker.ports.rates import Rate
from worker.transcript import Database, SqlTranscriptWriter
from worker.web.api import Access, gate, server
from worker.web.feeds.events import Kind
from worker.web.feeds.place import Place


@pytest.fixture
async def served(database: Database, transcript: SqlTranscriptWriter) -> AsyncIterator[Served]:
    async with serving(database, transcript) as served:
        yield served


class Client:
    """One socket. `heard` is all that it was told."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.heard: list[dict[str, Any]] = []

    async def say(self, **message: Any) -> None:
        await self.socket.send_json(message)

    async def next(self, *kinds: str) -> dict[str, Any]:
        """Read until a message of one of these kinds, of any kind if none is named."""
        while True:
            message = self._hear(await self.socket.receive_str(timeout=20))
            if not kinds or message["type"] in kinds:
                return message

    async def contents(self, count: int) -> list[tuple[str, str]]:
        found = [await self.next("message") for _ in range(count)]
        return [(each["feed"], each["data"]["content"]) for each in found]

    async def ask(self, session: str = A, **ask: Any) -> dict[str, Any]:
        """Ask, and return the whole of what is said to it."""
        await self.say(type="ask", session=session, ask={"id": "7", "text": "Why?"} | ask)
        said = await self.next("asked", "problem")
        name = ask.get("id", "7")
        assert said["ask"] == (name if isinstance(name, str) else "")
        return said

    async def closed(self) -> tuple[int | None, str | None]:
        """The code that it is closed with, and the last message before that."""
        while True:
            message = await self.socket.receive(timeout=20)
            if message.type is not aiohttp.WSMsgType.TEXT:
                return self.socket.close_code, self.heard[-1]["type"] if self.heard else None
            self._hear(message.data)

    def _hear(self, text: str) -> dict[str, Any]:
        """Read a message, which has to be as the page about feeds says."""
        message: dict[str, Any] = json.loads(text)
        self.heard.append(message)
        hold_message(message)
        return message


@asynccontextmanager
async def connected(served: Served, token: str | None = OPERATOR, **headers: str) -> AsyncIterator[Client]:
    if token:
        headers["Authorization"] = f"Bearer {token}"
    async with served.session.ws_connect("/api/feeds", headers=headers) as socket:
        yield Client(socket)


async def refusal(served: Served, token: str | None = OPERATOR, path: str = "/api/feeds", **headers: str) -> int:
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        async with served.session.ws_connect(path, headers=headers):
            return 101
    except aiohttp.WSServerHandshakeError as exc:
        return exc.status


async def test_one_socket_reads_several_things_along(served: Served) -> None:
    async with connected(served) as client:
        await client.say(type="subscribe", feed="a", session=A)
        assert await client.next("subscribed") == {"type": "subscribed", "feed": "a"}
        assert await client.contents(2) == [("a", "Question 1?"), ("a", "Answer 1.")]
        await client.next("state")
        await client.say(type="subscribe", feed="i", instance="instance-a", after="now")
        await client.next("subscribed")
        await client.next("state")
        await served.record(3)
        found = await client.contents(4)
        assert sorted(found) == [(name, text) for name in "ai" for text in ("Answer 3.", "Question 3?")]

        await client.say(type="unsubscribe", feed="a")
        await client.next("unsubscribed")
        served.windows.tell(KEYS["a"], "Take ", task="task-9")
        heard = await client.next("delta")
        assert (heard["feed"], heard["data"]["text"]) == ("i", "Take ")

    served.windows.tell(KEYS["a"], "it.", task="task-9")
    async with connected(served) as client:
        await client.say(type="subscribe", feed="again", instance="instance-a", after=heard["id"])
        assert (await client.next("delta"))["data"]["offset"] == 5


async def test_every_event_is_told_as_the_page_about_feeds_has_it(served: Served) -> None:
    """All of them are heard once here; `Client` holds each against the page."""
    await served.transcript.end([A], START)
    async with connected(served) as client:
        await client.say(type="subscribe", feed="a", session=A)
        while not {"message", "state", "ended"} <= {each["type"] for each in client.heard}:
            await client.next()
        await client.ask()
        while "asks" not in {each["type"] for each in client.heard}:
            await client.next()
        served.windows.turns[KEYS["a"]] = TurnSeen("task-9", "intent", 1, is_held=True, is_repair=False)
        assert (await client.next("state"))["data"]["steps"]
        served.windows.tell(KEYS["a"], "Take ", task="task-9")
        await client.next("delta")
        served.windows.tell(KEYS["a"], "Leave ", task="task-9", run=2)
        await client.next("restarted")
        await client.next("delta")
        served.windows.told_at[KEYS["a"]] -= 60
        assert (await client.next("lost"))["data"]["task_id"] == "task-9"
        gone = Place({A: 1_000}, {A: ("0123456789ab-7", 3)}).dump()
        await client.say(type="subscribe", feed="b", session=A, after=gone)
        assert (await client.next("lost"))["data"] == {"session_id": A}
        await served.transcript.remove([Subject("default", instance=KEYS["a"].scope)])
        await client.next("closing")
    assert {each["type"] for each in client.heard} == {"subscribed", "asked", *get_args(Kind)}


async def test_a_socket_passes_the_gate_as_every_request_does(served: Served) -> None:
    assert await refusal(served, None) == 401
    assert await refusal(served, "wrong-0123456789abcdef") == 401
    assert await refusal(served, Origin="https://evil.example") == 403
    assert await refusal(served, Origin="null") == 403
    assert await refusal(served, Origin=f"http://127.0.0.1:{served.port}") == 101
    assert await refusal(served, path="/api/feeds?" + "x" * (gate.LONGEST_ADDRESS - 100)) == 101
    assert await refusal(served, path="/api/nothing") == 403
    page = await Api(served.session, OPERATOR).get("/api/counts")
    async with connected(served) as client:
        assert client.socket._response.headers["Cache-Control"] == page.headers["Cache-Control"] == "no-store"


async def test_a_handshake_that_is_too_long_is_hung_up_on(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(aiohttp.ClientConnectionError):
        await refusal(served, path="/api/feeds?" + "x" * 10_000)
    assert await refusal(served, "wrong-0123456789abcdef") == 401
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_sockets_are_rated(database: Database, transcript: SqlTranscriptWriter) -> None:
    async with serving(database, transcript, rate=Rate(burst=3, per_second=0.01)) as served:
        assert [await refusal(served, path="/api/nothing") for _ in range(4)] == [403, 403, 403, 429]
        assert await refusal(served, GUEST, path="/api/nothing") == 403, "others are not held up"


async def test_what_a_client_says_too_fast_waits(database: Database, transcript: SqlTranscriptWriter) -> None:
    async with serving(database, transcript, rate=Rate(burst=5, per_second=10)) as served, connected(served) as client:
        started = asyncio.get_running_loop().time()
        for _ in range(14):
            await client.say(type="unsubscribe", feed="none")
        await client.say(type="nonsense")
        await client.next("problem")
        assert asyncio.get_running_loop().time() - started > 0.5


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        "{}",
        '{"type": "sing"}',
        '{"type": "subscribe", "feed": "a"}',
        '{"type": "subscribe", "feed": "a", "session": "b", "instance": "c"}',
        '{"type": "subscribe", "feed": "", "session": "b"}',
        '{"type": "subscribe", "feed": "a", "session": "b", "more": 1}',
        '{"type": "unsubscribe", "feed": 1}',
        "[" * 10_000,
    ],
)
async def test_what_cannot_be_read_is_a_problem_and_ends_nothing(served: Served, text: str) -> None:
    async with connected(served) as client:
        await client.socket.send_str(text)
        problem = await client.next()
        assert problem["type"] == "problem"
        assert problem["data"]["detail"]
        await client.socket.send_bytes(b"\xff")
        assert (await client.next())["type"] == "problem"
        await client.say(type="subscribe", feed="a", session=A)
        assert (await client.next())["type"] == "subscribed"


async def test_a_feed_that_cannot_be_had_is_refused_and_others_go_on(served: Served) -> None:
    async with connected(served, VIEWER) as client:
        for name, wanted in {
            "other's": {"session": A},
            "instance": {"instance": "instance-a"},
            "none": {"session": "0" * 32},
            "place": {"session": B, "after": "nonsense"},
        }.items():
            await client.say(type="subscribe", feed=name, **wanted)
            refused = await client.next("refused")
            assert refused["feed"] == name
            assert refused["data"]["detail"]
        await client.say(type="subscribe", feed="b", session=B)
        assert await client.contents(1) == [("b", "Question 11?")]
        await client.say(type="subscribe", feed="b", session=B)
        assert "name" in (await client.next("refused"))["data"]["detail"]


async def test_sockets_and_their_feeds_are_bounded(database: Database, transcript: SqlTranscriptWriter) -> None:
    async with serving(database, transcript, most=10, most_each=3) as served:
        async with connected(served) as client:
            for name in ("a", "b"):
                await client.say(type="subscribe", feed=name, session=A)
                await client.next("subscribed")
            await client.say(type="subscribe", feed="c", session=A)
            assert "3 feeds of yours" in (await client.next("refused"))["data"]["detail"]
            assert await refusal(served) == 429
            await client.say(type="unsubscribe", feed="a")
            await client.next("unsubscribed")
            await client.say(type="subscribe", feed="c", session=A)
            await client.next("subscribed")

        async def is_free() -> bool:
            return await refusal(served) == 101

        await wait_until(is_free)


async def test_a_feed_that_is_unsubscribed_before_it_began_leaves_its_name(served: Served) -> None:
    async with connected(served) as client:
        for name in map(str, range(10)):  # one segment may bring both at once
            await client.say(type="subscribe", feed=name, session=A)
            await client.say(type="unsubscribe", feed=name)
            await client.next("unsubscribed")
            await client.say(type="subscribe", feed=name, session=A)
            assert (await client.next("subscribed", "refused"))["type"] == "subscribed"
            await client.say(type="unsubscribe", feed=name)
            await client.next("unsubscribed")


async def test_what_is_asked_over_a_socket_is_what_is_asked_by_a_request(served: Served) -> None:
    post = f"/api/sessions/{A}/asks"
    async with connected(served) as client:
        asked = await client.ask()
        assert (asked["type"], asked["data"]["state"], asked["data"]["text"]) == ("asked", "queued", "Why?")
        again = await Api(served.session, OPERATOR).get(post, "POST", json={"id": "7", "text": "Why?"})
        assert (again.status, again.json) == (202, asked["data"])
        assert (await client.ask())["data"] == asked["data"], "the same message is the same ask"
        refused = await client.ask(text="Another?")
        assert (refused["type"], refused["data"]["status"]) == ("problem", 409)
        problem = (await Api(served.session, OPERATOR).get(post, "POST", json={"id": "7", "text": "Another?"})).json
        assert {name: refused["data"][name] for name in ("title", "detail")} == problem
        for ask, status in (
            ({"session": "0" * 32}, 404),
            ({"id": ""}, 422),
            ({"id": 7}, 422),
            ({"text": "x" * 20_001}, 422),
            ({"more": 1}, 422),
        ):
            assert (await client.ask(**ask))["data"]["status"] == status
        await client.say(type="subscribe", feed="a", session=A)
        assert await client.contents(1) == [("a", "Question 1?")]


async def test_nobody_asks_over_a_socket_who_may_not(
    served: Served, database: Database, transcript: SqlTranscriptWriter
) -> None:
    for token, session, status in ((VIEWER, B, 403), (NORTH, A, 404)):
        async with connected(served, token) as client:
            assert (await client.ask(session))["data"]["status"] == status
    async with connected(served, NORTH) as client:
        assert (await client.ask(B, on_thread=True))["data"]["status"] == 403
        assert (await client.ask(B))["type"] == "asked"
        served.access.use(Access.of(f'{{"{OPERATOR}": "operator"}}'))
        assert (await client.ask(B, id="8"))["data"]["status"] == 401
    async with serving(database, transcript, asks=False) as alone, connected(alone) as client:
        assert (await client.ask())["data"]["status"] == 404


async def test_a_message_that_is_too_large_ends_the_socket(served: Served) -> None:
    async with connected(served) as client:
        await client.socket.send_str("x" * (server.LARGEST_MESSAGE + 1))
        assert (await client.closed())[0] == 1009


async def test_a_token_that_is_taken_away_closes_the_socket(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.web.feeds.feed.BEAT_SECONDS", 0.1)
    async with connected(served, GUEST) as client:
        await client.say(type="subscribe", feed="a", session=A)
        await client.contents(4)
        served.access.use(Access.of(f'{{"{OPERATOR}": "operator"}}'))
        assert await client.closed() == (1008, "closing")


async def test_a_token_that_is_taken_away_closes_a_socket_that_reads_nothing_along(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it keeps its place among the feeds for as long as its client likes."""
    monkeypatch.setattr("worker.web.feeds.socket.LOOK_SECONDS", 0.1)
    async with connected(served, GUEST) as client, connected(served) as other:
        served.access.use(Access.of(f'{{"{OPERATOR}": "operator"}}'))
        assert await client.closed() == (1008, None)
        await other.say(type="nonsense")
        await other.next("problem")


async def test_a_stop_closes_sockets_so_that_they_come_back(
    database: Database, transcript: SqlTranscriptWriter
) -> None:
    async with serving(database, transcript) as served, connected(served) as client, connected(served) as idle:
        for name in ("a", "b"):
            await client.say(type="subscribe", feed=name, session=A)
            await client.contents(4)
        served.feeds.close()
        assert await client.closed() == (1012, "closing")
        assert not idle.socket.closed


async def test_a_session_that_is_erased_ends_its_feed_alone(served: Served) -> None:
    async with connected(served) as client:
        for name, session in (("a", A), ("b", B)):
            await client.say(type="subscribe", feed=name, session=session)
            await client.contents(4)
            await client.next("state")
        await served.transcript.remove([Subject("default", instance=KEYS["b"].scope)])
        assert (await client.next("closing"))["feed"] == "b"
        await served.record(3)
        assert await client.contents(1) == [("a", "Question 3?")]


async def test_open_sockets_keep_no_request_out_and_stay(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.web.connections.SWEEP_SECONDS", 0.05)
    clients = [
        await served.session.ws_connect("/api/feeds", headers={"Authorization": f"Bearer {OPERATOR}"})
        for _ in range(150)
    ]
    async with aiohttp.ClientSession(f"http://127.0.0.1:{served.port}") as session:
        for _ in range(3):
            assert (await Api(session, OPERATOR).get("/api/counts")).status == 200
    client = Client(clients[0])
    await client.say(type="subscribe", feed="a", session=A)
    assert await client.contents(1) == [("a", "Question 1?")]
    for each in clients:
        await each.close()


async def test_whatever_is_asked_is_told_the_same_over_both_ways_and_ends_no_socket(served: Served) -> None:
    no_texts: list[Any] = [None, 7, [], {}, True]
    asked: list[dict[str, Any]] = [{"id": f"{number}", "text": piece} for number, piece in enumerate(PIECES)]
    asked += [{"id": piece, "text": "Why?"} for piece in PIECES]
    links = [[f"https://a.example/{piece}"] for piece in PIECES]
    asked += [{"id": f"link {number}", "text": "Why?", "attachments": each} for number, each in enumerate(links)]
    asked += [{"id": "x", "text": each} for each in no_texts]
    api = Api(served.session, OPERATOR)
    async with connected(served) as client:
        for each in asked:
            posted = await api.get(f"/api/sessions/{A}/asks", "POST", json=each)
            await client.say(type="ask", session=A, ask=each)
            said = await client.next("asked", "problem")
            told = (202, posted.json) if said["type"] == "asked" else (said["data"].get("status", 422), None)
            assert told == (posted.status, posted.json if posted.status == 202 else None), each
            assert posted.status in (202, 409, 422), each
        for session in PIECES:
            await client.say(type="ask", session=session, ask={"id": "1", "text": "Why?"})
            assert (await client.next())["type"] == "problem"
