"""Who is at a conversation, over HTTP: by feeds, and by integrations that say that they are there."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.api.client import NO_CALLS, Answer, Api
from tests.api.conftest import KEYS
from tests.api.reading import event_stream
from tests.api.test_asks import Orders, Threads
from tests.fakes.following import FakeWindows
from tests.fakes.heart import FakeHeartbeat
from tests.fakes.instances import FakeInstances
from tests.records import START
from tests.waiting import wait_until
from worker.chat.noting import Noting
from worker.chat.ports import ChatPorts
from worker.chat.visiting import Visiting
from worker.domain.conversations import session_id
from worker.domain.visits import Stay
from worker.errors import TranscriptDown
from worker.telemetry import metrics
from worker.transcript import Database, SqlAsks, SqlRemarks, SqlTranscriptReader, SqlTranscriptWriter, SqlVisits
from worker.web.api import Access, app, recording, serve, visiting
from worker.web.api.visits import MOST_EACH
from worker.web.feeds import Feeds, following, sockets

ANN, BOT, NORTH = (f"{name}-0123456789abcdef" for name in ("ann", "bot", "north"))
TOKENS = json.dumps(
    {
        ANN: {"name": "Ann", "role": "viewer"},
        BOT: {"rights": ["read", "ask"]},
        NORTH: {"name": "Nora", "role": "operator", "tenants": ["north"]},
    }
)
A, B = session_id(KEYS["a"]), session_id(KEYS["b"])


class Away(SqlVisits):
    """A book that cannot be written."""

    async def keep(self, _: str, __: Sequence[Stay]) -> None:
        raise TranscriptDown("away")


class Ground:
    """What the routes stand on, and ways to ask them."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def call(self, path: str, token: str = ANN, method: str = "GET", **options: Any) -> Answer:
        return await Api(self.session, token).get(f"/api/{path}", method, **options)

    async def arrive(self, name: str = "call-7", token: str = BOT, session: str = A) -> Answer:
        return await self.call(f"sessions/{session}/visits", token, "POST", json={"id": name})

    async def here(self, session: str = A) -> list[str]:
        found = (await self.call(f"sessions/{session}/visits?open=true")).json
        return [each["person"] for each in found]

    async def until_here(self, *persons: str, session: str = A) -> None:
        async def are_here() -> bool:
            return await self.here(session) == [*persons]

        await wait_until(are_here, what=f"{persons} to be here")


@asynccontextmanager
async def serving(database: Database, book: SqlVisits) -> AsyncIterator[Ground]:
    conversations, access, crashed = SqlTranscriptReader(database), Access.of(TOKENS), list[Exception]()
    asks = SqlAsks(database, engine="default")
    ports = ChatPorts(asks, conversations, Orders(), FakeInstances(), Threads())  # type: ignore[arg-type]  # the methods that are needed
    here = Visiting(book, FakeHeartbeat())
    feeds = Feeds(conversations, FakeWindows(), engine="default", most=9, most_each=9, visiting=here)
    extend = [
        following(feeds, access),
        sockets(feeds, access),
        visiting(book, conversations),
        recording(Noting(ports, SqlRemarks(database)), conversations),
    ]
    application = app(conversations, NO_CALLS, access, report=crashed.append, extend=extend)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(here)
        await stack.enter_async_context(feeds)
        port = await stack.enter_async_context(serve(application, "127.0.0.1", 0))
        stack.callback(feeds.close)
        session = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
        yield Ground(session)
    assert crashed == []


@pytest.fixture
async def ground(database: Database, transcript: SqlTranscriptWriter) -> AsyncIterator[Ground]:
    await transcript.ping()
    async with serving(database, SqlVisits(database, engine="default")) as ground:
        yield ground


async def test_who_reads_a_conversation_along_is_there_as_long(ground: Ground) -> None:
    async with event_stream(ground.session, f"/api/sessions/{A}/feed", ANN) as stream:
        await stream.next("message")
        await ground.until_here("Ann")
        assert await ground.here(B) == []
    await ground.until_here()
    [visit] = (await ground.call(f"sessions/{A}/visits")).json
    assert (visit["person"], visit["session_id"], visit["is_yours"], visit["is_open"]) == ("Ann", A, True, False)
    assert visit["duration_seconds"] >= 0
    assert visit["ended_at"] == visit["last_seen_at"] > visit["began_at"]
    assert (await ground.call(f"sessions/{A}/visits?open=false", BOT)).json == [visit | {"is_yours": False}]


async def test_each_conversation_that_a_socket_reads_has_its_visit_and_an_instance_has_none(ground: Ground) -> None:
    headers = {"Authorization": f"Bearer {ANN}"}
    async with ground.session.ws_connect("/api/feeds", headers=headers) as socket:
        for name, wanted in (("i", {"instance": "instance-a"}), ("a", {"session": A}), ("b", {"session": B})):
            await socket.send_json({"type": "subscribe", "feed": name, "after": "now", **wanted})
        await ground.until_here("Ann")
        await ground.until_here("Ann", session=B)
        await socket.send_json({"type": "unsubscribe", "feed": "a"})
        await ground.until_here()
        assert await ground.here(B) == ["Ann"]


async def test_a_visit_that_cannot_be_written_disturbs_no_feed(
    database: Database, transcript: SqlTranscriptWriter
) -> None:
    await transcript.ping()
    async with serving(database, Away(database, engine="default")) as ground:
        async with event_stream(ground.session, f"/api/sessions/{A}/feed", ANN) as stream:
            assert [(await stream.next("message")).data["content"] for _ in range(4)][-1] == "Answer 2."
        assert await ground.here() == []


async def test_an_integration_begins_keeps_up_and_ends_its_own_visit(ground: Ground) -> None:
    opened, closed = (metrics.VISITS.labels(each)._value for each in ("opened", "closed"))
    before = opened.get(), closed.get()
    begun, again = await ground.arrive(), await ground.arrive()
    assert (begun.status, again.status, again.json) == (201, 201, begun.json)
    visit = begun.json
    assert (visit["person"].startswith("the token "), visit["is_yours"], visit["is_open"]) == (True, True, True)
    assert visit["duration_seconds"] is None
    heard = await ground.call(f"visits/{visit['id']}/heartbeat", BOT, "POST")
    assert (heard.status, heard.json["last_seen_at"] > visit["last_seen_at"]) == (200, True)
    assert await ground.here() == [visit["person"]]

    left, once_more = [await ground.call(f"visits/{visit['id']}", BOT, "DELETE") for _ in range(2)]
    assert (left.status, left.json["is_open"], once_more.json) == (200, False, left.json)
    assert left.json["duration_seconds"] > 0
    late = await ground.call(f"visits/{visit['id']}/heartbeat", BOT, "POST")
    assert (late.status, "is over" in late.json["detail"]) == (409, True)
    assert (opened.get() - before[0], closed.get() - before[1]) == (1, 1)
    assert (await ground.arrive("call-8")).json["is_open"]


async def test_nobody_is_at_a_conversation_more_often_than_is_good_for_others(ground: Ground) -> None:
    begun = [await ground.arrive(f"call-{number}") for number in range(MOST_EACH + 1)]
    assert [each.status for each in begun] == [201] * MOST_EACH + [409]
    assert (await ground.arrive("call-0")).status == 201, "it is there already"
    assert (await ground.arrive("call-0", ANN)).status == 201
    await ground.call(f"visits/{begun[0].json['id']}", BOT, "DELETE")
    assert (await ground.arrive("another")).status == 201


async def test_a_late_message_is_kept_after_its_visit_is_closed(ground: Ground) -> None:
    visit = (await ground.arrive()).json
    await ground.call(f"visits/{visit['id']}", BOT, "DELETE")
    said = {"id": "late", "role": "agent", "text": "The caller agrees."}
    kept = await ground.call(f"sessions/{A}/remarks", BOT, "POST", json=said)
    assert kept.status == 201
    found = await ground.call(f"sessions/{kept.json['session_id']}/messages")
    assert [each["content"] for each in found.json["items"]] == ["The caller agrees."]


@pytest.mark.parametrize(("token", "status"), [(ANN, 403), (NORTH, 404)])
async def test_nobody_moves_anothers_visit_or_sees_who_is_where_they_may_not_be(
    ground: Ground, token: str, status: int
) -> None:
    visit = (await ground.arrive()).json
    assert (await ground.call(f"visits/{visit['id']}/heartbeat", token, "POST")).status == status
    assert (await ground.call(f"visits/{visit['id']}", token, "DELETE")).status == status
    listed = await ground.call(f"sessions/{A}/visits", token)
    assert listed.status == (200 if token == ANN else 404)
    assert (await ground.arrive(token=NORTH)).status == 404
    assert (await ground.call("visits/nobodys", BOT, "DELETE")).status == 404
    assert (await ground.here()) == [visit["person"]]


async def test_where_the_record_names_nobody_any_more_nobody_arrives(
    ground: Ground, transcript: SqlTranscriptWriter
) -> None:
    await transcript.end([A], START)
    await transcript.anonymise([A], START)
    assert (await ground.arrive()).status == 410


@pytest.mark.parametrize("body", [{}, {"id": ""}, {"id": "x" * 201}, {"id": 7}, {"id": "a", "person": "Mary"}])
async def test_a_visit_has_its_form(ground: Ground, body: dict[str, Any]) -> None:
    assert (await ground.call(f"sessions/{A}/visits", BOT, "POST", json=body)).status == 422
