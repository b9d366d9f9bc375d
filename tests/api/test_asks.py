"""Asking over HTTP: accepted when it is safe, by whom it may be, about what may be seen."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from tests.api.client import NO_CALLS, OPERATOR, VIEWER, Answer, Api
from tests.api.conftest import KEYS
from tests.fakes.instances import FakeInstances, Process
from worker.chat.desk import Desk
from worker.chat.ports import ChatPorts
from worker.domain.asks import State
from worker.domain.conversations import session_id
from worker.domain.endings import Receipt
from worker.domain.threads import Standing, ThreadKey
from worker.errors import StoreDown, TranscriptDown
from worker.transcript import Database, SqlAsks, SqlTranscriptReader, SqlTranscriptWriter
from worker.web.api import Access, app, asking, serve, talking

SECOND, NORTH, BOTH, HERE = (f"{name}-0123456789abcdef" for name in ("second", "north", "both", "here"))
TOKENS = json.dumps(
    {
        OPERATOR: "operator",
        SECOND: "operator",
        VIEWER: "viewer",
        NORTH: {"role": "operator", "tenants": ["north"]},
        BOTH: {"role": "operator", "tenants": ["north", "south", "west"]},
        HERE: {"role": "operator", "instances": ["instance-a"]},
    }
)
A, B = session_id(KEYS["a"]), session_id(KEYS["b"])


class Threads:
    """What Redis says of threads."""

    def __init__(self) -> None:
        self.answers = 0
        self.holder: str | None = None
        self.away = False

    async def standing(self, _: ThreadKey) -> Standing:
        if self.away:
            raise StoreDown("away")
        return Standing(self.holder, datetime(2026, 5, 4, tzinfo=UTC) if self.holder else None, self.answers)


class Orders:
    """Orders to erase."""

    def __init__(self) -> None:
        self.open: dict[str, Receipt] = {}

    async def open_orders(self) -> list[str]:
        return [*self.open]

    async def receipt(self, order: str) -> Receipt | None:
        return self.open.get(order)


class Ground:
    """What the routes stand on, and a way to ask them."""

    def __init__(self, session: aiohttp.ClientSession, database: Database) -> None:
        self.session = session
        self.database = database
        self.asks = SqlAsks(database, engine="default")
        self.threads = Threads()
        self.orders = Orders()
        self.instances = FakeInstances()
        self.instances.processes["instance-a"] = Process()
        self.accepted = 0

    async def call(
        self, path: str, method: str = "GET", token: str | None = OPERATOR, body: Mapping[str, Any] | None = None
    ) -> Answer:
        return await Api(self.session, token).get(f"/api/{path}", method, json=body)

    async def ask(self, session: str = A, token: str | None = OPERATOR, **message: Any) -> Answer:
        body = {"id": "1", "text": "Why?"} | message
        return await self.call(f"sessions/{session}/asks", "POST", token, body)

    async def begin(self, token: str | None = OPERATOR, assistant: str = "analyst", **beginning: Any) -> Answer:
        """Begin a conversation beside all processes."""
        return await self.call(f"assistants/{assistant}/conversations", "POST", token, {"id": "1"} | beginning)

    def wake(self) -> None:
        self.accepted += 1


@pytest.fixture
async def ground(database: Database, transcript: SqlTranscriptWriter) -> AsyncIterator[Ground]:
    await transcript.ping()
    conversations, crashed = SqlTranscriptReader(database), list[Exception]()
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        ground = Ground(session, database)
        ports = ChatPorts(ground.asks, conversations, ground.orders, ground.instances, ground.threads)  # type: ignore[arg-type]  # the methods that are needed
        desk = Desk(ports, ground.wake, "default", lambda: ["critic", "analyst"])
        extend = [asking(desk, conversations), talking(desk, frozenset({None, "north", "south"}))]
        application = app(conversations, NO_CALLS, Access.of(TOKENS), report=crashed.append, extend=extend)
        port = await stack.enter_async_context(serve(application, "127.0.0.1", 0))
        ground.session = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
        yield ground
    assert crashed == []


async def test_what_is_accepted_is_on_disk_and_can_be_followed(ground: Ground) -> None:
    answer = await ground.ask(text="Why not the second one?")

    assert answer.status == 202
    asked = answer.json
    assert (asked["session_id"], asked["answered_in"]) == (A, session_id(KEYS["a"].branch))
    assert (asked["client_id"], asked["text"], asked["state"]) == ("1", "Why not the second one?", "queued")
    assert (asked["answer"], asked["failure"], asked["finished_at"], asked["on_thread"]) == (None, "", None, False)
    assert ground.accepted == 1
    assert asked["is_yours"]
    theirs = asked | {"is_yours": False}
    assert (await ground.call(f"asks/{asked['id']}", token=VIEWER)).json == theirs
    assert (await ground.call(f"sessions/{A}/asks", token=VIEWER)).json == {"as_of": 0, "items": [theirs]}


async def test_a_message_that_comes_again_is_the_same_and_with_another_text_refused(ground: Ground) -> None:
    first, again, other = await ground.ask(), await ground.ask(), await ground.ask(text="Why not?")
    assert (again.status, again.json) == (202, first.json)
    assert other.status == 409
    by_another = await ground.ask(token=SECOND, text="Why not?")
    assert by_another.status == 202
    assert by_another.json["id"] != first.json["id"]


@pytest.mark.parametrize(("token", "status"), [(VIEWER, 403), ("nobody-0123456789abcdef", 401), (None, 401)])
async def test_nobody_else_may_ask(ground: Ground, token: str | None, status: int) -> None:
    assert (await ground.ask(token=token)).status == status
    assert await ground.asks.backlog() == 0


async def test_a_token_asks_about_what_it_may_see_alone(ground: Ground) -> None:
    asked = (await ground.ask()).json
    assert (await ground.ask(A, NORTH)).status == 404
    assert (await ground.ask(B, NORTH)).status == 202
    assert (await ground.call(f"asks/{asked['id']}", token=NORTH)).status == 404
    assert (await ground.call(f"sessions/{A}/asks", token=NORTH)).status == 404
    assert (await ground.call(f"asks/{asked['id']}", "DELETE", NORTH)).status == 404
    assert (await ground.call("asks/nobody-knows")).status == 404


@pytest.mark.parametrize(
    "message",
    [
        {"id": ""},
        {"text": ""},
        {"text": " \n\u2003"},
        {"text": "x" * 20_001},
        {"mode": "nonsense"},
        {"as_of": -1},
        {"as_of": 2**63},
        {"person": "ada"},
        {"on_thread": 7},
        {"attachments": ["https://ann:secret@files.example/a"]},
        {"attachments": ["javascript:alert(1)"]},
        {"attachments": [f"https://files.example/{'a' * 2048}"]},
        {"attachments": [f"https://files.example/{n}" for n in range(11)]},
    ],
)
async def test_a_message_has_its_form(ground: Ground, message: dict[str, Any]) -> None:
    assert (await ground.ask(**message)).status == 422


async def test_links_come_with_an_ask_and_are_part_of_the_message(ground: Ground) -> None:
    links = ["https://files.example/plan.pdf?sig=1"]
    asked = await ground.ask(attachments=links)
    assert (asked.status, asked.json["attachments"]) == (202, links)
    assert (await ground.ask(attachments=links)).json == asked.json
    assert (await ground.ask()).status == 409


async def test_on_the_thread_itself_it_is_asked_if_that_is_said_or_nothing_runs(ground: Ground) -> None:
    assert (await ground.ask(id="1", on_thread=True)).json["answered_in"] == A
    ground.instances.processes.clear()
    assert (await ground.ask(id="2")).json["answered_in"] == A


async def test_what_runs_is_said_to_who_would_not_wait(ground: Ground) -> None:
    await ground.ask(id="1")
    refused = await ground.ask(id="2", mode="reject")
    assert (refused.status, "an ask of the token" in refused.json["detail"]) == (409, True)
    ground.threads.holder = "task-1"
    refused = await ground.ask(id="3", mode="reject", on_thread=True)
    assert (refused.status, "a step of the process, since 2026-05-04" in refused.json["detail"]) == (409, True)
    assert (await ground.ask(id="1", mode="reject")).status == 202, "it was accepted before"


async def test_a_question_takes_the_place_of_what_the_same_person_has_waiting(ground: Ground) -> None:
    first, others = (await ground.ask(id="1")).json, (await ground.ask(id="1", token=SECOND)).json
    again = [await ground.ask(id="2", mode="interrupt") for _ in range(2)]
    assert [each.status for each in again] == [202, 202]
    listed = (await ground.call(f"sessions/{A}/asks")).json["items"]
    assert {each["id"]: each["state"] for each in listed} == {
        first["id"]: "withdrawn",
        others["id"]: "queued",
        again[0].json["id"]: "queued",
    }
    ground.threads.answers = 2
    assert (await ground.ask(id="3", mode="interrupt", as_of=1)).status == 409
    assert await ground.asks.backlog() == 2, "what is refused withdraws nothing"
    await ground.call(f"asks/{others['id']}", "DELETE", SECOND)
    await ground.asks.claim(1, timedelta(minutes=1))
    refused = await ground.ask(id="3", mode="interrupt")
    assert (refused.status, "is being answered" in refused.json["detail"]) == (409, True)
    assert (await ground.ask(id="3", mode="interrupt", token=SECOND)).status == 202


async def test_a_state_that_is_older_than_the_conversation_is_refused(ground: Ground) -> None:
    ground.threads.answers = 2
    assert (await ground.ask(id="1", as_of=1)).status == 409
    assert (await ground.ask(id="2", as_of=2)).status == 202
    ground.threads.away = True
    assert (await ground.ask(id="3", as_of=1)).status == 202, "it is looked at when it is its turn"
    assert (await ground.call(f"sessions/{A}/asks")).json["as_of"] is None


async def test_what_is_erased_or_about_to_be_is_gone(ground: Ground, transcript: SqlTranscriptWriter) -> None:
    at = datetime(2026, 5, 4, tzinfo=UTC)
    ground.orders.open["1"] = Receipt("1", "default", "instance-a", None, at)
    assert (await ground.ask()).status == 410
    ground.orders.open["1"] = Receipt("1", "default", "instance-b", None, at, tenants=("south",))
    assert (await ground.ask(B)).status == 202
    ground.orders.open["1"] = Receipt("1", "default", "instance-b", None, at, tenants=("north", "south"))
    assert (await ground.ask(B, id="2")).status == 410
    await transcript.end([A], at + timedelta(days=1))
    await transcript.note_erased([A], at + timedelta(days=1))
    assert (await ground.ask(id="2")).status == 410
    assert await ground.asks.backlog() == 1


async def test_ones_own_can_be_withdrawn_until_somebody_begins_with_it(ground: Ground) -> None:
    asked = (await ground.ask()).json
    assert (await ground.call(f"asks/{asked['id']}", "DELETE", SECOND)).status == 403
    withdrawn = await ground.call(f"asks/{asked['id']}", "DELETE")
    assert (withdrawn.status, withdrawn.json["state"]) == (200, State.WITHDRAWN)
    begun = (await ground.ask(id="2")).json
    await ground.asks.claim(1, timedelta(minutes=1))
    assert (await ground.call(f"asks/{begun['id']}", "DELETE")).status == 409


async def test_while_the_transcript_is_away_nothing_is_accepted(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise TranscriptDown("away")

    monkeypatch.setattr(SqlAsks, "accept", away)
    answer = await ground.ask()
    assert answer.status == 503
    assert "Retry-After" in answer.headers
    assert "send the same again" in answer.json["detail"]


# Beside all processes


async def test_a_conversation_is_begun_and_talked_in_by_its_person_alone(ground: Ground) -> None:
    begun = await ground.begin()
    assert (begun.status, begun.json["kind"], begun.json["process_instance_id"]) == (201, "chat", None)
    talk = begun.json["id"]
    assert ((await ground.begin()).json["id"], (await ground.begin(id="2")).json["id"] == talk) == (talk, False)
    asked = await ground.ask(talk)
    assert (asked.status, asked.json["answered_in"]) == (202, talk)
    listed = (await ground.call("sessions?free=true")).json["items"]
    assert {each["id"] for each in listed} == {talk, (await ground.begin(id="2")).json["id"]}
    assert len((await ground.call("sessions?free=false")).json["items"]) == len(KEYS)
    assert ground.instances.script.calls == [], "nothing is asked of the engine"

    own = ["", "/messages", "/cost", "/asks", "/export"]
    assert [(await ground.call(f"sessions/{talk}{each}")).status for each in own] == [200] * 5
    for token in (SECOND, NORTH):
        assert [(await ground.call(f"sessions/{talk}{each}", token=token)).status for each in own] == [404] * 5
        assert (await ground.ask(talk, token, id="2")).status == 404
        assert (await ground.call(f"asks/{asked.json['id']}", token=token)).status == 404
        assert (await ground.call(f"asks/{asked.json['id']}", "DELETE", token)).status == 404
        assert (await ground.call("sessions?free=true", token=token)).json["items"] == []
    assert (await ground.begin(SECOND)).json["id"] != talk


async def test_who_may_talk_is_told_with_whom(ground: Ground) -> None:
    assert (await ground.call("assistants")).json == ["analyst", "critic"]
    assert (await ground.begin(assistant="nobody")).status == 404
    assert [(await ground.call("assistants", token=token)).status for token in (VIEWER, None)] == [403, 401]
    assert [(await ground.begin(token)).status for token in (VIEWER, None)] == [403, 401]


@pytest.mark.parametrize(
    ("token", "tenant", "found"),
    [
        (OPERATOR, None, None),
        (OPERATOR, "south", "south"),
        (OPERATOR, "east", 403),  # nobody answers there
        (NORTH, None, "north"),
        (NORTH, "south", 403),
        (BOTH, None, 403),  # it has to be said which
        (BOTH, "south", "south"),
        (BOTH, "west", 403),
        (HERE, None, 403),
    ],
)
async def test_a_conversation_is_of_a_tenant_of_its_persons(
    ground: Ground, token: str, tenant: str | None, found: int | str | None
) -> None:
    begun = await ground.begin(token, tenant=tenant)
    assert (begun.json["tenant"] if begun.status == 201 else begun.status) == found


@pytest.mark.parametrize("beginning", [{"id": ""}, {"id": "x" * 201}, {"tenant": ""}, {"more": 1}])
async def test_a_beginning_has_its_form(ground: Ground, beginning: dict[str, Any]) -> None:
    assert (await ground.begin(**beginning)).status == 422
