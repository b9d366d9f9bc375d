"""Whatever fits the OpenAPI document, or does not, is answered as the document says, and never with a 5xx."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.api.client import NO_CALLS, OPERATOR, TOKENS, VIEWER
from tests.api.conftest import KEYS
from tests.api.test_asks import Orders, Threads
from tests.api.test_rewinding import Index
from tests.api.test_tickets import Kept
from tests.asks import ask
from tests.fakes.instances import FakeInstances, Process
from tests.fakes.receivers import FakeReceivers, Waiting
from tests.records import START, exchange
from worker.chat.desk import Desk
from worker.chat.handing import Handing
from worker.chat.noting import Noting
from worker.chat.ports import ChatPorts
from worker.domain.asks import State, chat_key
from worker.domain.conversations import Role, Subject, message_id, session_id
from worker.domain.endings import Receipt, order_id
from worker.domain.memory import ToRemember
from worker.domain.people import Person
from worker.domain.remarks import Remark
from worker.domain.visits import visit_id
from worker.ending import Rewinding
from worker.modelling.subjects import named
from worker.ports.rates import Rate
from worker.transcript import (
    Database,
    SqlAsks,
    SqlFacts,
    SqlHandovers,
    SqlMemos,
    SqlRemarks,
    SqlTranscriptReader,
    SqlTranscriptWriter,
    SqlVisits,
    open_database,
)
from worker.web.api import (
    Access,
    Memorising,
    TicketOffice,
    app,
    asking,
    erasing,
    handing_over,
    memorising,
    recording,
    rewinding,
    talking,
    ticketing,
    visiting,
)
from worker.web.api.routing import Extension

errors: list[Exception] = []
NAMED = json.dumps(json.loads(TOKENS) | {OPERATOR: {"role": "operator", "name": "Ann"}})
ASKED = ask(about=KEYS["a"])
REMARK = Remark(
    id="1" * 32,
    about=KEYS["a"],
    person=Person("token", "Ann", "Ann"),
    role=Role.AGENT,
    text="The caller agrees.",
    instance="instance-a",
    definition_id="drones:3:4711",
    definition_key="drones",
    said_at=START,
)
GO_TOGETHER: dict[str, list[Any]] = {
    path: [positive_data_acceptance] for path in ("/api/memory", "/api/memory/{digest}")
}
"""Where parameters want others beside them, which no document can say: a request that fits it may be refused."""


def operations(text: str) -> frozenset[str]:
    """Read a list of operations, one a line."""
    return frozenset(filter(None, map(str.strip, text.splitlines())))


VALIDATED = operations("""
    GET /api/sessions
    GET /api/sessions/{session_id}
    DELETE /api/sessions/{session_id}
    GET /api/sessions/{session_id}/cost
    GET /api/sessions/{session_id}/messages
    GET /api/sessions/{session_id}/export
    GET /api/sessions/{session_id}/asks
    POST /api/sessions/{session_id}/asks
    GET /api/sessions/{session_id}/handovers
    POST /api/sessions/{session_id}/remarks
    GET /api/sessions/{session_id}/visits
    POST /api/sessions/{session_id}/visits
    GET /api/instances
    GET /api/instances/{instance_id}
    GET /api/instances/{instance_id}/cost
    GET /api/instances/{instance_id}/messages
    GET /api/instances/{instance_id}/export
    POST /api/instances/{instance_id}/rewind
    GET /api/search
    GET /api/counts
    GET /api/assistants
    GET /api/assistants/{name}/summary
    POST /api/assistants/{name}/conversations
    GET /api/login
    GET /api/memory
    GET /api/memory/{digest}
    DELETE /api/memory/{digest}
    GET /api/memory/{digest}/export
    POST /api/memory/{digest}/facts/{fact}/approve
    DELETE /api/memory/{digest}/facts/{fact}
    GET /api/asks/{ask_id}
    DELETE /api/asks/{ask_id}
    POST /api/asks/{ask_id}/handover
    GET /api/asks/{ask_id}/handover
    PATCH /api/asks/{ask_id}/handover
    GET /api/asks/{ask_id}/receivers
    PATCH /api/remarks/{remark_id}
    POST /api/visits/{visit_id}/heartbeat
    DELETE /api/visits/{visit_id}
    POST /api/erase
    GET /api/erasures/{order}
    POST /api/tickets
""")
"""What is asked for here; `tests/flow/test_api_document.py` has what is asked for elsewhere."""
KIND = "variable:customer"
SUBJECT = named(KIND, "ada", None, "default").digest
FACTS: list[str] = []
"""The ids of what is remembered: one is approved, one proposed."""
TALK = chat_key("default", None, Person("token", "Ann", "Ann"), "analyst", "1")
ORDER = order_id(Subject("default", "instance-a"))
VISIT = visit_id(ASKED.session_id, Person("token", "Ann", "Ann"), "call-7")


class Forgetting:
    """`ending.Eraser` that carries nothing out: of what it erases the other cases are to find something."""

    async def erase(self, subject: Subject, **_: bool) -> Receipt:
        return Receipt(order_id(subject), "default", None, None, START, completed_at=START, memory=subject.memory)

    async def receipt(self, order: str) -> Receipt | None:
        return Receipt(order, "default", "instance-a", None, START) if order == ORDER else None


class FreshRecord:
    """A side of the record that is opened anew for each call: every case runs in an event loop of its own."""

    def __init__(self, url: str, side: Callable[[Database], object] = SqlTranscriptReader) -> None:
        self._url = url
        self._side = side

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any, **options: Any) -> Any:
            async with open_database(self._url) as database:
                database._ready = True  # when it was filled
                return await getattr(self._side(database), name)(*arguments, **options)

        return call


async def fill(url: str) -> None:
    async with open_database(url) as database:
        for name, thread in KEYS.items():
            await SqlTranscriptWriter(database).record(exchange(1, thread, process_instance_id=f"instance-{name}"))
        asks = SqlAsks(database, engine="default")
        await asks.accept(ASKED)
        [held] = await asks.claim(1, timedelta(minutes=1))
        answer = message_id("default", exchange(1, KEYS["a"]).task_id, 1, Role.AGENT)
        await asks.settle(held, State.ANSWERED, answer=answer)
        await asks.begin(TALK, Person("token", "Ann", "Ann"))
        await SqlRemarks(database).record(REMARK)
        await SqlVisits(database, engine="default").begin(VISIT, ASKED.session_id, Person("token", "Ann", "Ann"))
        await remember(database)


async def remember(database: Database) -> None:
    """Have one fact, and one that waits for a person's word."""
    memos = SqlMemos(database, engine="default")
    for number, approve in ((2, False), (3, True)):
        wish = ToRemember(SUBJECT, KIND, "Settle it.", approve=approve)
        said = exchange(number, KEYS["a"], process_instance_id="instance-a", remember=wish)
        await SqlTranscriptWriter(database).record(said)
        for each in await memos.claim(5):
            await memos.settle(each, each.question, each.answer)
    FACTS[:] = [each.id for each in await SqlFacts(database, database.hurried(), engine="default").facts(SUBJECT)]


def filled(folders: pytest.TempPathFactory) -> str:
    """Make a record that has some conversations; returns its address."""
    url = f"sqlite:///{folders.mktemp('schema')}/record.db"
    asyncio.run(fill(url))
    return url


async def has_spin() -> bool:
    return True


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Any:
    url = filled(tmp_path_factory)
    conversations: Any = FreshRecord(url)
    asks: Any = FreshRecord(url, lambda database: SqlAsks(database, engine="default"))
    instances = FakeInstances()
    instances.processes["instance-a"] = Process()
    ports = ChatPorts(asks, conversations, Orders(), instances, Threads())  # type: ignore[arg-type]  # the methods that are needed
    receivers = FakeReceivers()
    receivers.instances["instance-a"] = Waiting({"execution-1": "approved"})
    book: Any = FreshRecord(url, SqlHandovers)
    desk = Desk(ports, lambda: None, "default", lambda: ["analyst"])
    handing = Handing(ports, book, receivers, has_spin)
    noting = Noting(ports, FreshRecord(url, SqlRemarks))
    visits: Any = FreshRecord(url, lambda database: SqlVisits(database, engine="default"))
    facts: Any = FreshRecord(url, lambda database: SqlFacts(database, database.hurried(), engine="default"))
    eraser: Any = Forgetting()
    memory = Memorising(facts, eraser, "default", "default", True)
    orders = Rewinding(Index(), conversations)  # type: ignore[arg-type]  # of the port it uses three methods
    return documented(
        conversations,
        errors,
        memorising(memory),
        asking(desk, conversations),
        talking(desk),
        handing_over(handing, desk, conversations),
        recording(noting, conversations),
        visiting(visits, conversations),
        erasing(eraser, conversations, "default"),
        rewinding(orders),
        ticketing(TicketOffice(Kept())),
    )


def documented(conversations: Any, errors: list[Exception], *extend: Extension) -> Any:
    """The document of the API with these extensions; what it reports as unforeseen comes to `errors`."""
    application = app(
        conversations, NO_CALLS, Access.of(NAMED), report=errors.append, rate=Rate(burst=100_000), extend=extend
    )
    return schemathesis.openapi.from_asgi("/api/openapi.json", application)


def validate(operation: Any, token: str, examples: int, **places: str) -> None:
    """Ask for one operation in so many ways; `places` are put into its path."""

    @given(case=operation.as_strategy())
    @settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def check(case: schemathesis.Case[Any]) -> None:
        case.path_parameters |= {name: places[name] for name in case.path_parameters.keys() & places.keys()}
        case.call_and_validate(
            headers={"Authorization": f"Bearer {token}"}, excluded_checks=GO_TOGETHER.get(operation.path)
        )

    check()


@pytest.mark.timeout(400)  # a thousand requests, each in a loop of its own
@pytest.mark.parametrize("token", [OPERATOR, pytest.param(VIEWER, marks=pytest.mark.sweep)], ids=["operator", "viewer"])
def test_answers_are_as_documented(document: Any, token: str) -> None:
    found = [each.ok() for each in document.get_all_operations()]
    assert {each.label for each in found} == VALIDATED
    for operation in found:
        validate(operation, token, 15)
        if "{" in operation.path:
            for name, thread in (KEYS | {"talk": TALK}).items():
                places = {"session_id": session_id(thread), "instance_id": f"instance-{name}", "name": "analyst"}
                places |= {"digest": SUBJECT, "fact": FACTS[-1] if name == "a" else FACTS[0]}
                places |= {"ask_id": ASKED.id, "remark_id": REMARK.id, "visit_id": VISIT, "order": ORDER}
                validate(operation, token, 2, **places)
    assert errors == []
