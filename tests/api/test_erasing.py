"""Erasing over HTTP: operators only, within their limits, and nothing that runs."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from tests.api.client import NO_CALLS, OPERATOR, VIEWER, Answer, Api
from tests.api.conftest import KEYS
from tests.records import exchange
from worker.domain.asks import chat_key
from worker.domain.conversations import Subject, session_id
from worker.domain.endings import Receipt, Status, Step, Store
from worker.domain.people import Person
from worker.ending import StillRuns
from worker.errors import EngineDown, StoreDown
from worker.transcript import Database, SqlAsks, SqlTranscriptReader, SqlTranscriptWriter
from worker.web.api import Access, app, erasing, serve

NORTH = "north-0123456789abcdef"
ONE = "one-0123456789abcdef"
ANN = "ann-0123456789abcdef"
TOKENS = json.dumps(
    {
        OPERATOR: "operator",
        VIEWER: "viewer",
        NORTH: {"role": "operator", "tenants": ["north"]},
        ONE: {"role": "operator", "instances": ["instance-a"]},
        ANN: {"name": "Ann", "rights": ["ask"], "tenants": ["north"]},
    }
)
AT = datetime(2026, 5, 4, tzinfo=UTC)


class Recorded:
    """Takes orders and answers as told: what erasing does is shown elsewhere, on real stores."""

    def __init__(self) -> None:
        self.orders: list[Subject] = []
        self.error: Exception | None = None
        self.left = False
        self.results = False
        self.kept: Receipt | None = None

    async def receipt(self, order: str) -> Receipt | None:
        if self.error:
            raise self.error
        return self.kept if self.kept and self.kept.id == order else None

    async def erase(self, subject: Subject, *, force: bool = False, results: bool = False) -> Receipt:
        assert not force
        self.results = results
        if self.error:
            raise self.error
        self.orders.append(subject)
        step = Step(Store.REDIS, "keys", status=Status.OPEN if self.left else Status.REMOVED, at=AT, count=3)
        done = None if self.left else AT
        return Receipt("4711", subject.engine, subject.instance, subject.business_key, AT, False, (step,), None, done)


@pytest.fixture
def eraser() -> Recorded:
    return Recorded()


@pytest.fixture
async def asked(database: Database, transcript: SqlTranscriptWriter, eraser: Recorded) -> AsyncIterator[Api]:
    await transcript.record(exchange(30, KEYS["a"], process_instance_id="called-by-a"))
    conversations, crashed = SqlTranscriptReader(database), list[Exception]()
    route = erasing(eraser, conversations, "default")  # type: ignore[arg-type]  # the same method
    application = app(conversations, NO_CALLS, Access.of(TOKENS), report=crashed.append, extend=[route])
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serve(application, "127.0.0.1", 0))
        session = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
        yield Api(session, OPERATOR)
    assert crashed == []


@pytest.fixture
def erase(asked: Api) -> Any:
    async def order(token: str | None = OPERATOR, query: str = "", **wish: Any) -> Answer:
        return await Api(asked.session, token).get(f"/api/erase{query}", "POST", json=wish)

    return order


async def test_an_operator_gets_a_receipt(erase: Any, eraser: Recorded) -> None:
    answer = await erase(instance="instance-a")

    assert answer.status == 200
    assert (answer.json["instance"], answer.json["completed_at"]) == ("instance-a", "2026-05-04T00:00:00Z")
    assert answer.json["steps"][0] | {"key": None} == {
        "store": "redis",
        "what": "keys",
        "key": None,
        "status": "removed",
        "at": "2026-05-04T00:00:00Z",
        "count": 3,
        "why": "",
        "anchor": None,
    }
    assert (await erase(business_key="order-1")).status == 200
    assert eraser.orders == [Subject("default", "instance-a"), Subject("default", business_key="order-1")]


async def test_results_go_only_when_they_are_asked_for(erase: Any, eraser: Recorded) -> None:
    await erase(instance="instance-a")
    assert not eraser.results
    await erase(query="?results=true", instance="instance-a")
    assert eraser.results


async def test_what_is_left_is_told_by_the_status(erase: Any, eraser: Recorded) -> None:
    eraser.left = True
    assert (await erase(instance="instance-a")).status == 202


@pytest.mark.parametrize(("token", "status"), [(VIEWER, 403), ("nobody-0123456789abcdef", 401), (None, 401)])
async def test_nobody_else_may(erase: Any, eraser: Recorded, token: str | None, status: int) -> None:
    assert (await erase(token, instance="instance-a")).status == status
    assert eraser.orders == []


@pytest.mark.parametrize(
    ("token", "wish", "status"),
    [
        (NORTH, {"instance": "instance-b"}, 200),
        (NORTH, {"instance": "instance-a"}, 404),
        (NORTH, {"instance": "nobody-knows"}, 404),
        (ONE, {"business_key": "order-1"}, 403),
        (ONE, {"instance": "instance-a"}, 200),
        (ONE, {"instance": "instance-b"}, 404),
        (ONE, {"instance": "called-by-a"}, 404),
        (OPERATOR, {"instance": "nobody-knows"}, 200),
    ],
)
async def test_limits_hold(erase: Any, eraser: Recorded, token: str, wish: dict[str, str], status: int) -> None:
    assert (await erase(token, **wish)).status == status
    assert len(eraser.orders) == (status == 200)


async def test_a_business_key_is_erased_within_the_tenants_of_the_token(erase: Any, eraser: Recorded) -> None:
    assert (await erase(NORTH, business_key="order-1")).status == 200
    assert eraser.orders == [Subject("default", business_key="order-1", tenants=frozenset(["north"]))]


@pytest.mark.parametrize(
    "wish", [{}, {"instance": "i", "business_key": "k"}, {"instance": ""}, {"instance": "i" * 256}, {"force": True}]
)
async def test_an_order_must_name_one_thing(erase: Any, eraser: Recorded, wish: dict[str, Any]) -> None:
    assert (await erase(**wish)).status == 422
    assert eraser.orders == []


async def test_a_running_instance_and_an_engine_that_is_away_are_told_apart(erase: Any, eraser: Recorded) -> None:
    eraser.error = StillRuns("it runs")
    assert (await erase(instance="instance-a")).status == 409
    eraser.error = EngineDown("no answer")
    answer = await erase(instance="instance-a")
    assert answer.status == 503
    assert "no answer" in answer.json["detail"]


@pytest.mark.parametrize(
    ("token", "tenants", "status"),
    [
        (OPERATOR, None, 200),
        (OPERATOR, ("north",), 200),
        (NORTH, ("north",), 200),
        (NORTH, ("north", "south"), 404),
        (NORTH, None, 404),
        (ONE, None, 200),
        (VIEWER, None, 403),
        (None, None, 401),
    ],
)
async def test_a_receipt_has_an_address_of_its_own_for_those_who_may_see_all_of_it(
    asked: Api, eraser: Recorded, token: str | None, tenants: tuple[str, ...] | None, status: int
) -> None:
    eraser.kept = Receipt("4711", "default", "instance-a", None, AT, tenants=tenants)
    answer = await Api(asked.session, token).get("/api/erasures/4711")
    assert answer.status == status
    assert status != 200 or answer.json["instance"] == "instance-a"


async def test_a_receipt_that_is_not_there_or_cannot_be_read_is_said_so(asked: Api, eraser: Recorded) -> None:
    assert (await asked.get("/api/erasures/4711")).status == 404
    eraser.kept = Receipt("4711", "default", "instance-b", None, AT)
    assert (await Api(asked.session, ONE).get("/api/erasures/4711")).status == 404
    eraser.error = StoreDown("no answer")
    answer = await asked.get("/api/erasures/4711")
    assert (answer.status, "no answer" in answer.json["detail"]) == (503, True)


async def test_a_person_ends_what_they_have_beside_all_processes_and_nothing_else(
    asked: Api, database: Database, eraser: Recorded
) -> None:
    ann = Person("token", "Ann", "Ann")
    thread = chat_key("default", "north", ann, "analyst", "1")
    await SqlAsks(database, engine="default").begin(thread, ann)
    talk = session_id(thread)
    others = [(OPERATOR, talk), (NORTH, talk), (ANN, session_id(KEYS["b"])), (ANN, "0" * 32)]
    for token, session in others:
        assert (await Api(asked.session, token).get(f"/api/sessions/{session}", "DELETE")).status == 404
    assert eraser.orders == []
    ended = await Api(asked.session, ANN).get(f"/api/sessions/{talk}", "DELETE")
    assert (ended.status, ended.json["completed_at"]) == (200, "2026-05-04T00:00:00Z")
    assert eraser.orders == [Subject("default", person=ann.id, chat=thread.scope.split(":")[-1])]
    eraser.left = True
    assert (await Api(asked.session, ANN).get(f"/api/sessions/{talk}", "DELETE")).status == 202
    eraser.error = StoreDown("away")
    assert (await Api(asked.session, ANN).get(f"/api/sessions/{talk}", "DELETE")).status == 503


async def test_what_a_person_has_said_is_erased_by_who_vouches_for_them_and_their_subject(
    erase: Any, eraser: Recorded
) -> None:
    whom = {"issuer": "https://id.example", "subject": "ann"}
    person = Person(whom["issuer"], whom["subject"], "").id
    assert (await erase(person=whom)).status == 200
    assert (await erase(NORTH, person=whom)).status == 200
    assert eraser.orders == [
        Subject("default", person=person),
        Subject("default", person=person, tenants=frozenset(["north"])),
    ]
    assert [(await erase(token, person=whom)).status for token in (ONE, VIEWER, ANN)] == [403, 403, 403]
    for wrong in ({}, {"issuer": "x"}, whom | {"name": "Ann"}, whom | {"subject": ""}):
        assert (await erase(person=wrong)).status == 422
    assert (await erase(person=whom, instance="instance-a")).status == 422
    assert len(eraser.orders) == 2
