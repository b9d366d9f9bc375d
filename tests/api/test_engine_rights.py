"""What routes show of what the engine lets somebody see, and what they do while that cannot be told."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, cast

import aiohttp
import pytest

from tests.api.client import NO_CALLS, Api
from tests.api.test_erasing import Recorded
from tests.fakes.board import Board
from tests.records import exchange, key
from worker.domain.conversations import Limits, Page
from worker.ending import Eraser
from worker.errors import EngineDenied
from worker.ports.decisions import DecisionReader
from worker.ports.rights import DefinitionRight
from worker.transcript import Database, SqlTranscriptReader, SqlTranscriptWriter
from worker.web.api import Access, EngineSight, app, erasing, serve, stopping

ANN, NOBODY = "ann-0123456789abcdef", "nobody-0123456789abcdef"
TOKENS = json.dumps({ANN: {"role": "operator", "engine_user": "ann"}, NOBODY: "operator"})


@dataclass(slots=True)
class Engine:
    """Lets users see what runs of one process; it may deny that to the worker."""

    asked: list[str] = field(default_factory=list)
    denies: bool = False

    async def on_definition(self, user: str, right: DefinitionRight, key: str) -> bool:
        self._answer(user)
        return key == "drones" and right == "READ_INSTANCE"

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
    ann: Api
    nobody: Api

    async def erase(self, **wish: str) -> int:
        return (await self.ann.get("/api/erase", "POST", json=wish)).status


@pytest.fixture
async def served(database: Database) -> AsyncIterator[Served]:
    writer, record, engine = SqlTranscriptWriter(database), SqlTranscriptReader(database), Engine()
    await writer.record(exchange(1, key("instance-a")), exchange(2, key("instance-b"), definition_key="heat"))
    async with AsyncExitStack() as stack:
        sight = await stack.enter_async_context(EngineSight(engine, record.definition_keys))
        eraser, records = Recorded(), Records()
        erases = erasing(cast("Eraser", eraser), record, "default", cast("DecisionReader", records))
        extend = [stopping(Board(), {}), erases]
        access = Access.of(TOKENS)
        application = app(record, NO_CALLS, access, report=print, sight=sight, extend=extend)
        port = await stack.enter_async_context(serve(application, "127.0.0.1", 0))
        session = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
        yield Served(engine, writer, eraser, records, Api(session, ANN), Api(session, NOBODY))


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
        beside = {"process_instance_id": "called", "definition_key": "heat"}
        thread = key("instance-a", assistant="critic")
        await served.writer.record(exchange(3, thread), exchange(4, thread, **beside))
    assert await served.erase(instance="instance-a") == 403
    assert len(served.eraser.orders) == 1
