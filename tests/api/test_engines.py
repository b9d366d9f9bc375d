"""Two engines that count their instances from 1, on one database: each worker's API knows its own engine's alone."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from tests.api.client import NO_CALLS, OPERATOR, Api
from tests.records import exchange, key
from worker.domain.conversations import Subject
from worker.domain.endings import Receipt
from worker.domain.threads import ThreadKey
from worker.transcript import Database, SqlTranscriptReader, SqlTranscriptWriter
from worker.web.api import Access, app, erasing, serve

SOUTH = "south-0123456789abcdef"
TOKENS = json.dumps({OPERATOR: "operator", SOUTH: {"role": "operator", "tenants": ["south"]}})
HERE = key("42", tenant="north")
ELSEWHERE = key("42", engine="other", tenant="south")
AT = datetime(2026, 5, 4, tzinfo=UTC)


class Recorded:
    """Takes orders; what erasing does is shown elsewhere, on real stores."""

    def __init__(self) -> None:
        self.orders: list[Subject] = []

    async def erase(self, subject: Subject, **_: Any) -> Receipt:
        self.orders.append(subject)
        return Receipt("4711", subject.engine, subject.instance, subject.business_key, AT, completed_at=AT)


async def spoken(transcript: SqlTranscriptWriter, thread: ThreadKey, number: int) -> None:
    """Say something with a word of its own: local1, elsewhere2 …"""
    where = "local" if thread.engine == "default" else "elsewhere"
    said = f"{where}{number}"
    await transcript.record(
        exchange(number, thread, task_id=f"{where}-{number}", activity_id=where, question=said, answer=said)
    )


@pytest.fixture
async def two(database: Database) -> SqlTranscriptWriter:
    """Instance 42 of each engine, each of a tenant of its own."""
    transcript = SqlTranscriptWriter(database)
    for number in (1, 2):
        await spoken(transcript, HERE, number)
        await spoken(transcript, ELSEWHERE, number)
    return transcript


@pytest.fixture
def eraser() -> Recorded:
    return Recorded()


@pytest.fixture
async def worker(database: Database, two: SqlTranscriptWriter, eraser: Recorded) -> AsyncIterator[Api]:
    """The API of the worker of the engine `default`."""
    await two.ping()
    conversations, crashed = SqlTranscriptReader(database, engine="default"), list[Exception]()
    route = erasing(eraser, conversations, "default")  # type: ignore[arg-type]  # the same method
    application = app(conversations, NO_CALLS, Access.of(TOKENS), report=crashed.append, extend=[route])
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serve(application, "127.0.0.1", 0))
        session = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
        yield Api(session, OPERATOR)
    assert crashed == []


READING = (
    "/api/sessions",
    "/api/instances",
    "/api/instances/42",
    "/api/instances/42/messages",
    "/api/instances/42/export",
    "/api/search?q=elsewhere1",
    "/api/search?q=elsewhere1&engine=other",
    "/api/sessions?engine=other",
    "/api/instances?instance=42",
    "/api/counts",
)


@pytest.mark.parametrize("path", READING)
async def test_nothing_of_another_engine_is_read(worker: Api, path: str) -> None:
    text = (await worker.get(path)).text

    assert "elsewhere" not in text
    assert '"other"' not in text


async def test_what_is_counted_is_this_engines(worker: Api) -> None:
    counts = (await worker.get("/api/counts")).json
    [instance] = (await worker.get("/api/instances")).json["items"]

    assert (counts["sessions"], counts["instances"], counts["messages"]) == (1, 1, 4)
    assert (instance["engine"], instance["tenant"], instance["messages"]) == ("default", "north", 4)


@pytest.mark.parametrize("path", READING)
async def test_a_tenants_token_sees_nothing_of_the_namesake_in_either_engine(worker: Api, path: str) -> None:
    answer = await Api(worker.session, SOUTH).get(path)

    assert "local" not in answer.text
    assert answer.status == 404 or answer.json in ({"items": [], "next": None}, dict.fromkeys(answer.json, 0))


async def test_a_tenants_token_does_not_erase_the_namesake_of_its_instance(worker: Api, eraser: Recorded) -> None:
    south = Api(worker.session, SOUTH)

    assert (await south.get("/api/erase", "POST", json={"instance": "42"})).status == 404
    assert eraser.orders == []


async def test_an_unbound_reader_does_not_lead_an_order_astray(database: Database, two: SqlTranscriptWriter) -> None:
    eraser = Recorded()
    await two.ping()
    conversations = SqlTranscriptReader(database)  # of all engines
    route = erasing(eraser, conversations, "default")  # type: ignore[arg-type]  # the same method
    application = app(conversations, NO_CALLS, Access.of(TOKENS), report=print, extend=[route])
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serve(application, "127.0.0.1", 0))
        session = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
        answer = await Api(session, SOUTH).get("/api/erase", "POST", json={"instance": "42"})
    assert (answer.status, eraser.orders) == (404, [])


async def test_an_order_of_a_tenants_token_says_whose(worker: Api, two: SqlTranscriptWriter, eraser: Recorded) -> None:
    """A process of another tenant may have spoken on a thread that is named after its caller."""
    await spoken(two, key("42", tenant="south", assistant="critic"), 3)

    assert (await Api(worker.session, SOUTH).get("/api/erase", "POST", json={"instance": "42"})).status == 200
    assert eraser.orders == [Subject("default", "42", tenants=frozenset(["south"]))]
