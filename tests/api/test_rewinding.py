"""Rewinding over HTTP: who may, what is answered, and what nobody may order."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Any

import aiohttp
import pytest

from tests.api.client import NO_CALLS, Answer, Api
from tests.api.conftest import KEYS
from worker.domain.endings import Unrecorded
from worker.domain.threads import Decision, Thread, ThreadKey
from worker.ending import Rewinding
from worker.errors import StoreDown
from worker.transcript import Database, SqlTranscriptReader, SqlTranscriptWriter
from worker.web.api import Access, app, rewinding, serve

ANN, READER, NORTH = (f"{name}-0123456789abcdef" for name in ("ann", "reader", "north"))
TOKENS = json.dumps(
    {
        ANN: {"name": "Ann", "rights": ["sway"]},
        READER: {"rights": ["read", "ask", "stop", "erase"]},
        NORTH: {"rights": ["sway"], "tenants": ["north"]},
    }
)


class Index:
    """Redis, as far as orders to rewind go."""

    def __init__(self) -> None:
        self.orders: list[tuple[ThreadKey, str, Decision]] = []
        self.late: set[ThreadKey] = set()
        self.whole = True
        self.is_down = False

    async def waiting(self) -> Unrecorded:
        if self.is_down:
            raise StoreDown("no connection")
        return Unrecorded(frozenset(self.late), whole=self.whole)

    async def thread(self, _: ThreadKey) -> Thread | None:
        return Thread("conv_1", 1)

    async def replace(self, key: ThreadKey, thread: Thread, why: Decision) -> bool:
        self.orders.append((key, thread.id, why))
        return True


@pytest.fixture
def index() -> Index:
    return Index()


@pytest.fixture
async def session(
    database: Database, transcript: SqlTranscriptWriter, errors: list[Exception], index: Index
) -> AsyncIterator[aiohttp.ClientSession]:
    await transcript.ping()
    record = SqlTranscriptReader(database)
    orders = Rewinding(index, record)  # type: ignore[arg-type]  # of the port it uses three methods
    served = app(record, NO_CALLS, Access.of(TOKENS), report=errors.append, extend=[rewinding(orders)])
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serve(served, "127.0.0.1", 0))
        yield await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))


async def rewind(session: aiohttp.ClientSession, token: str = ANN, instance: str = "instance-a", **body: Any) -> Answer:
    told = {"before": "step_2"} | body
    return await Api(session, token).get(f"/api/instances/{instance}/rewind", "POST", json=told)


async def test_a_person_orders_it_and_is_named(session: aiohttp.ClientSession, index: Index) -> None:
    answer = await rewind(session, reason="moved back")

    assert answer.status == HTTPStatus.OK
    assert answer.json == [{"scope": "instance-a", "assistant": "analyst", "thread": "conv_1", "why": ""}]
    [(key, thread, why)] = index.orders
    assert (key, thread) == (KEYS["a"], "conv_1")
    assert (why.reason, why.by) == ("rewound to before step_2: moved back", "Ann")


async def test_it_takes_the_right_to_sway(session: aiohttp.ClientSession, index: Index) -> None:
    refused = await rewind(session, READER)
    assert (refused.status, refused.json["detail"]) == (403, "This needs the right sway, which this token lacks.")
    assert index.orders == []


async def test_what_a_token_may_not_see_is_not_there_to_be_rewound(
    session: aiohttp.ClientSession, index: Index
) -> None:
    hidden, nowhere = await rewind(session, NORTH), await rewind(session, NORTH, "instance-x")
    assert hidden.status == nowhere.status == HTTPStatus.NOT_FOUND
    assert hidden.json["detail"].replace("instance-a", "") == nowhere.json["detail"].replace("instance-x", "")
    assert index.orders == []
    assert (await rewind(session, NORTH, "instance-b", before="step_12")).status == HTTPStatus.OK
    assert [key for key, *_ in index.orders] == [KEYS["b"]]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"before": "step_9"}, 404, "nobody was asked at step_9 in instance instance-a; there were step_1, step_2"),
        ({"attempt": 2}, 404, "step_2 was asked 1 time in"),
        ({"attempt": 0}, 422, "attempt"),
        ({"before": ""}, 422, "before"),
        ({"force": True}, 422, "force"),
    ],
)
async def test_what_cannot_be_ordered_is_said(
    session: aiohttp.ClientSession, index: Index, body: dict[str, Any], status: int, said: str
) -> None:
    answer = await rewind(session, **body)
    assert answer.status == status
    assert said in answer.json["detail"]
    assert index.orders == []


@pytest.mark.parametrize("trouble", ["redis", "late", "more than was looked at is late"])
async def test_what_cannot_be_ordered_now_is_a_503(session: aiohttp.ClientSession, index: Index, trouble: str) -> None:
    index.is_down = trouble == "redis"
    index.late = {KEYS["a"]} if trouble == "late" else set()
    index.whole = not trouble.startswith("more")
    answer = await rewind(session)
    assert answer.status == HTTPStatus.SERVICE_UNAVAILABLE
    assert "order it again" in answer.json["detail"]
    assert index.orders == []
