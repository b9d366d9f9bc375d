"""What routes show of what the engine lets somebody see, and what they do while that cannot be told."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, cast

import aiohttp
import pytest

from tests.api.client import NO_CALLS, Api
from tests.api.reading import event_stream
from tests.api.test_erasing import Recorded
from tests.fakes.board import Board
from tests.fakes.following import FakeTasks, FakeWindows
from tests.records import exchange, key
from worker.domain.conversations import Limits, Page, session_id
from worker.domain.watching import Speaker, TurnSeen
from worker.ending import Eraser
from worker.errors import EngineDenied
from worker.ports.decisions import DecisionReader
from worker.ports.rights import DefinitionRight
from worker.transcript import Database, SqlTranscriptReader, SqlTranscriptWriter
from worker.web.api import Access, EngineSight, app, erasing, serve, stopping
from worker.web.api.sight import FRESH_SECONDS
from worker.web.feeds import Feeds, following, sockets

A = key("instance-a")
ANN, NOBODY = "ann-0123456789abcdef", "nobody-0123456789abcdef"
TOKENS = json.dumps({ANN: {"role": "operator", "engine_user": "ann"}, NOBODY: "operator"})


@dataclass(slots=True)
class Engine:
    """Lets users see what runs of one process; it may deny that to the worker."""

    asked: list[str] = field(default_factory=list)
    denies: bool = False
    process: str = "drones"

    async def on_definition(self, user: str, right: DefinitionRight, key: str) -> bool:
        self._answer(user)
        return key == self.process and right == "READ_INSTANCE"

    async def on_every_instance(self, user: str) -> bool:
        return self._answer(user)

    async def on_instances(self, user: str) -> frozenset[str]:
        self._answer(user)
        return frozenset()

    async def tenants(self, user: str) -> frozenset[str]:
        self._answer(user)
        return frozenset()

    def _answer(self, user: str) -> bool:
        self.asked.append(user)
        if self.denies:
            raise EngineDenied("the engine denies us a right: 403")
        return False


@dataclass(slots=True)
class Records:
    """The records of decisions of every instance: those that anybody sees, and others."""

    seen: int = 0
    hidden: int = 0

    async def decisions(self, *, within: Limits, **_: object) -> Page[int]:
        return Page([*range(self.seen + (0 if within.definitions else self.hidden))], None)


@dataclass(frozen=True, slots=True)
class Served:
    """The API beside an engine."""

    engine: Engine
    writer: SqlTranscriptWriter
    eraser: Recorded
    records: Records
    windows: FakeWindows
    ann: Api
    nobody: Api

    async def erase(self, **wish: str) -> int:
        return (await self.ann.get("/api/erase", "POST", json=wish)).status

    async def call(self) -> None:
        """Have an instance that was called, of another process, say something on the conversation of its caller."""
        called = {"process_instance_id": "called", "definition_key": "heat"}
        await self.writer.record(exchange(3, A), exchange(4, A, **called))

    def speak(self, whose: Speaker, task: str, text: str) -> None:
        """Have somebody speak there, and be heard."""
        self.windows.turns[A] = TurnSeen(task, "intent", 1, is_held=True, is_repair=False, whose=whose)
        self.windows.tell(A, text, task=task, run=len(text))


@pytest.fixture
async def served(database: Database, request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    """A site whose engine's word is good for a minute, or for as many seconds as the test says."""
    writer, record, engine = SqlTranscriptWriter(database), SqlTranscriptReader(database), Engine()
    await writer.record(exchange(1, key("instance-a")), exchange(2, key("instance-b"), definition_key="heat"))
    fresh = getattr(request, "param", FRESH_SECONDS)
    async with AsyncExitStack() as stack:
        sight = await stack.enter_async_context(EngineSight(engine, record.definition_keys, fresh=fresh))
        eraser, records = Recorded(), Records()
        erases = erasing(cast("Eraser", eraser), record, "default", cast("DecisionReader", records))
        access, windows = Access.of(TOKENS), FakeWindows()
        feeds = Feeds(record, windows, engine="default", tasks=FakeTasks(), most=9, most_each=9)
        extend = [stopping(Board(), {}), erases, following(feeds, access), sockets(feeds, access)]
        application = app(record, NO_CALLS, access, report=print, sight=sight, extend=extend)
        await stack.enter_async_context(feeds)
        port = await stack.enter_async_context(serve(application, "127.0.0.1", 0))
        stack.callback(feeds.close)
        session = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
        yield Served(engine, writer, eraser, records, windows, Api(session, ANN), Api(session, NOBODY))


async def test_lists_searches_and_counts_have_what_the_engines_user_may_see(served: Served) -> None:
    assert [each["id"] for each in (await served.ann.get("/api/instances")).json["items"]] == ["instance-a"]
    assert (await served.ann.get("/api/counts")).json["instances"] == 1
    hits = (await served.ann.get("/api/search?q=question")).json["items"]
    assert {each["process_instance_id"] for each in hits} == {"instance-a"}
    statuses = [(await served.ann.get(f"/api/instances/instance-{name}/messages")).status for name in "ab"]
    assert statuses == [200, 404]


async def test_who_is_no_user_of_the_engine_sees_nothing(served: Served) -> None:
    assert (await served.nobody.get("/api/instances")).json["items"] == []
    assert (await served.nobody.get("/api/counts")).json["messages"] == 0
    assert served.engine.asked == []


@pytest.mark.parametrize("path", ["instances", "counts", "search?q=a", "sessions", "instances/instance-a/export"])
async def test_while_the_engine_cannot_tell_nothing_is_shown(served: Served, path: str) -> None:
    served.engine.denies = True
    refused = await served.ann.get(f"/api/{path}")
    assert (refused.status, "cannot be told now" in refused.json["detail"]) == (503, True)
    served.engine.denies = False
    assert (await served.ann.get(f"/api/{path}")).status == 200


async def test_stops_need_no_engine(served: Served) -> None:
    served.engine.denies = True
    stopped: Any = await served.ann.get("/api/stops", "POST", json={"kind": "all"})
    assert (stopped.status, (await served.ann.get("/api/stops")).status) == (200, 200)


@pytest.mark.parametrize(
    ("wish", "status"), [({"instance": "instance-b"}, 404), ({"business_key": "order-1"}, 403)], ids=["instance", "key"]
)
async def test_nobody_erases_what_they_may_not_see(served: Served, wish: dict[str, str], status: int) -> None:
    assert await served.erase(**wish) == status
    assert served.eraser.orders == []


@pytest.mark.parametrize("of", ["conversation", "record"])
async def test_nobody_erases_an_instance_in_part_of_which_a_process_spoke_that_they_may_not_see(
    served: Served, of: str
) -> None:
    served.records.seen = 1
    assert await served.erase(instance="instance-a") == 200
    if of == "record":
        served.records.hidden = 1
    else:
        await served.writer.record(exchange(5, key("instance-a", assistant="critic")))
        await served.call()
    assert await served.erase(instance="instance-a") == 403
    assert len(served.eraser.orders) == 1


@pytest.mark.parametrize("path", [f"sessions/{session_id(A)}/feed", "instances/instance-a/feed"])
async def test_a_feed_tells_nothing_of_a_process_that_may_not_be_seen_and_ends_where_that_has_spoken(
    served: Served, path: str
) -> None:
    async with event_stream(served.ann.session, f"/api/{path}?after=now", ANN) as stream:
        await stream.next("state")
        served.speak(Speaker("drones", "instance-a"), "ours", "Take it.")
        assert (await stream.next("delta")).data["text"] == "Take it."
        served.speak(Speaker("heat", "called"), "theirs", "It is a secret.")
        await served.writer.record(exchange(2, A))
        assert [(await stream.next("message")).data["content"] for _ in range(2)] == ["Question 2?", "Answer 2."]
        await served.call()
        assert (await stream.next("closing")).data == {"reason": "You may not see this any more."}
        assert "theirs" not in json.dumps([each.data for each in stream.heard])
    assert (await served.ann.get(f"/api/{path}")).status == 404


async def test_a_feed_of_what_may_not_be_seen_any_more_takes_no_other_feed_of_its_socket_along(served: Served) -> None:
    other = key("instance-other")
    await served.writer.record(exchange(1, other))
    headers = {"Authorization": f"Bearer {ANN}"}
    async with served.ann.session.ws_connect("/api/feeds", headers=headers) as socket:
        for name, thread in (("a", A), ("other", other)):
            wish = {"type": "subscribe", "feed": name, "session": session_id(thread), "after": "now"}
            await socket.send_json(wish)
            while (await socket.receive_json(timeout=20))["type"] != "state":
                pass
        await served.call()
        while (heard := await socket.receive_json(timeout=20))["type"] != "closing":
            pass
        assert heard["feed"] == "a"
        await served.writer.record(exchange(2, other))
        while (heard := await socket.receive_json(timeout=20))["type"] != "message":
            pass
        assert (heard["feed"], heard["data"]["content"]) == ("other", "Question 2?")


@pytest.mark.parametrize("served", [0], indirect=True)
async def test_a_feed_is_opened_by_what_may_be_seen_then_however_long_its_socket_is_open(served: Served) -> None:
    async with served.ann.session.ws_connect("/api/feeds", headers={"Authorization": f"Bearer {ANN}"}) as socket:

        async def subscribed(feed: str, instance: str) -> str:
            await socket.send_json({"type": "subscribe", "feed": feed, "instance": instance, "after": "now"})
            while (heard := await socket.receive_json(timeout=20))["type"] not in ("subscribed", "refused"):
                pass
            return f"{heard['type']} {heard.get('data', {}).get('detail', '')}".strip()

        served.engine.process = "heat"
        assert await subscribed("1", "instance-a") == "refused There is nothing here that this token may see."
        assert await subscribed("2", "instance-b") == "subscribed"
        await socket.send_json({"type": "unsubscribe", "feed": "2"})
        served.engine.denies = True
        assert "cannot be told now" in await subscribed("3", "instance-b")
