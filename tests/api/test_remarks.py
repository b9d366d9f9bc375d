"""Recording what was said elsewhere over HTTP: who may, in which form, and where it is found again."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from tests.api.client import NO_CALLS, Answer, Api
from tests.api.conftest import KEYS
from tests.api.test_asks import Orders, Threads
from tests.fakes.instances import FakeInstances
from tests.records import exchange
from worker.chat.noting import Noting
from worker.chat.ports import ChatPorts
from worker.domain.asks import chat_key
from worker.domain.conversations import session_id
from worker.domain.endings import Receipt
from worker.domain.people import Person
from worker.domain.threads import BRANCH_SCOPE
from worker.errors import StoreDown
from worker.transcript import Database, SqlAsks, SqlRemarks, SqlTranscriptReader, SqlTranscriptWriter
from worker.web.api import Access, app, recording, serve

VOICE, OTHER, READER, NORTH = (f"{name}-0123456789abcdef" for name in ("voice", "other", "reader", "north"))
TOKENS = json.dumps(
    {
        VOICE: {"name": "Voice bot", "rights": ["read", "ask"]},
        OTHER: "operator",
        READER: "viewer",
        NORTH: {"role": "operator", "tenants": ["north"]},
    }
)
A, BESIDE = session_id(KEYS["a"]), session_id(KEYS["a"].branch)
LINK = "https://files.example/a.wav?sig=s3cret"


class Ground:
    """What the routes stand on, and a way to ask them."""

    def __init__(self, session: aiohttp.ClientSession, orders: Orders) -> None:
        self.session = session
        self.orders = orders

    async def call(self, path: str, method: str = "GET", token: str = VOICE, body: Any = None) -> Answer:
        return await Api(self.session, token).get(f"/api/{path}", method, json=body)

    async def record(self, session: str = A, token: str = VOICE, **told: Any) -> Answer:
        body = {"id": "1", "role": "agent", "text": "The caller agrees."} | told
        return await self.call(f"sessions/{session}/remarks", "POST", token, body)

    async def add(self, remark: str, token: str = VOICE, **more: Any) -> Answer:
        return await self.call(f"remarks/{remark}", "PATCH", token, more)

    async def messages(self, session: str = BESIDE) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.call(f"sessions/{session}/messages")).json["items"]
        return found


@pytest.fixture
async def ground(database: Database, transcript: SqlTranscriptWriter) -> AsyncIterator[Ground]:
    await transcript.ping()
    conversations, crashed, orders = SqlTranscriptReader(database), list[Exception](), Orders()
    asks = SqlAsks(database, engine="default")
    ports = ChatPorts(asks, conversations, orders, FakeInstances(), Threads())  # type: ignore[arg-type]  # the methods that are needed
    async with AsyncExitStack() as stack:
        route = recording(Noting(ports, SqlRemarks(database)), conversations)
        application = app(conversations, NO_CALLS, Access.of(TOKENS), report=crashed.append, extend=[route])
        port = await stack.enter_async_context(serve(application, "127.0.0.1", 0))
        session = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
        yield Ground(session, orders)
    assert crashed == []


async def test_what_is_recorded_is_read_beside_its_conversation(ground: Ground) -> None:
    before = await ground.messages(A)
    recorded = await ground.record(attachments=[LINK], metadata={"call": 7})
    told = recorded.json
    assert (recorded.status, told["session_id"], told["person"]) == (201, BESIDE, "Voice bot")
    assert (told["role"], told["attachments"], told["metadata"]) == ("agent", [LINK], {"call": 7})
    assert await ground.messages(A) == before
    [message] = await ground.messages()
    assert (message["id"], message["content"], message["user"]) == (told["id"], "The caller agrees.", "Voice bot")
    assert message["attachment_url"] == LINK
    exported = await ground.call(f"sessions/{BESIDE}/export?format=markdown")
    assert "## Agent elsewhere" in exported.text
    assert r"Attachment: https\://files.example" in exported.text
    assert "Voice bot" in exported.text


async def test_beside_a_conversation_beside_another_it_is_recorded_there(ground: Ground) -> None:
    await ground.record()
    assert (await ground.record(BESIDE, id="2")).json["session_id"] == BESIDE
    assert (await ground.record(BESIDE)).json == (await ground.record()).json


async def test_what_is_recorded_of_a_persons_own_conversation_stands_there_and_is_seen_by_nobody_else(
    ground: Ground, database: Database, transcript: SqlTranscriptWriter
) -> None:
    bot = Person("token", "Voice bot", "Voice bot")
    thread = chat_key("default", None, bot, "analyst", "1")
    await SqlAsks(database, engine="default").begin(thread, bot)
    talk = session_id(thread)
    recorded = await ground.record(talk)
    assert (recorded.status, recorded.json["session_id"]) == (201, talk)
    assert [each["content"] for each in await ground.messages(talk)] == ["The caller agrees."]

    # As earlier workers did, beside it.
    beside = replace(thread, scope=BRANCH_SCOPE + thread.scope)
    await transcript.record(exchange(1, beside, process_instance_id="", answer="The caller agrees twice."))
    for session in (talk, session_id(beside)):
        assert (await ground.call(f"sessions/{session}", token=OTHER)).status == 404
    found = [(await ground.call("search?q=agrees", token=token)).json["items"] for token in (VOICE, OTHER)]
    assert [len(each) for each in found] == [2, 0]


@pytest.mark.parametrize(
    ("said", "role"), [("assistant", "agent"), ("agent", "agent"), ("user", "user"), ("system", "system")]
)
async def test_whoever_spoke_has_a_role_of_the_record(ground: Ground, said: str, role: str) -> None:
    assert (await ground.record(role=said)).json["role"] == role


async def test_a_message_that_comes_again_is_the_same_and_with_another_text_refused(ground: Ground) -> None:
    first, again = await ground.record(), await ground.record(attachments=[LINK])
    assert (again.status, again.json) == (201, first.json)
    assert (await ground.record(text="No.")).status == 409
    assert (await ground.record(role="user")).status == 409
    by_another = await ground.record(token=OTHER, text="No.")
    assert (by_another.status, len(await ground.messages())) == (201, 2)


@pytest.mark.parametrize(("token", "status"), [(READER, 403), (NORTH, 404), ("nobody-0123456789abcdef", 401)])
async def test_who_has_no_right_or_does_not_see_it_records_nothing(ground: Ground, token: str, status: int) -> None:
    kept = (await ground.record()).json["id"]
    assert (await ground.record(token=token, id="2")).status == status
    assert (await ground.add(kept, token, metadata={"a": 1})).status == status
    assert len(await ground.messages()) == 1


BAD_LINKS = [
    "ftp://files.example/a",
    "javascript:alert(1)",
    "//files.example/a",
    "https:///a",
    "https://ann:pw@files.example/a",
    "https://ann@files.example/a",
    "https://files.example/a b",
    "https://files.example\\@evil.example/",
    "https://files.example:port/",
    "https://[files/",
    "https://files.example/" + "a" * 2048,
]


@pytest.mark.parametrize(
    "told",
    [
        {"id": ""},
        {"role": "assistants"},
        {"role": "developer"},
        {"role": None},
        {"text": ""},
        {"text": "x" * 20_001},
        {"ask": True},
        {"metadata": []},
        {"metadata": {"x": "y" * 4000}},
        {"attachments": LINK},
        {"attachments": [f"{LINK}{n}" for n in range(11)]},
        *({"attachments": [each]} for each in BAD_LINKS),
    ],
    ids=lambda told: str(told)[:40],
)
async def test_what_has_not_its_form_is_refused_and_not_quoted(ground: Ground, told: dict[str, Any]) -> None:
    refused = await ground.record(**told)
    assert refused.status == 422
    assert next(iter(told)) in refused.json["detail"]
    assert "example" not in refused.text
    kept = (await ground.record()).json["id"]
    assert len(await ground.messages()) == 1
    if told.keys() & {"metadata", "attachments"}:
        assert (await ground.add(kept, **told)).status == 422


async def test_no_log_has_a_link_or_what_was_said(ground: Ground) -> None:
    with capture_logs() as lines:
        kept = (await ground.record(attachments=[LINK], metadata={"caller": "s3cret"})).json["id"]
        await ground.add(kept, attachments=[f"{LINK}&second"])
        await ground.record(id="2", attachments=[f"{LINK} "])
    assert "s3cret" not in str(lines)


async def test_numbers_that_are_none_are_refused(ground: Ground) -> None:
    body = '{"id": "1", "role": "user", "text": "x", "metadata": {"a": NaN}}'
    headers = {"Content-Type": "application/json"}
    path = f"/api/sessions/{A}/remarks"
    assert (await Api(ground.session, VOICE).get(path, "POST", data=body, headers=headers)).status == 422
    deep = '{"id": "1", "role": "user", "text": "x", "metadata": {"a": ' + "[" * 300 + "]" * 300 + "}}"
    assert (await Api(ground.session, VOICE).get(path, "POST", data=deep, headers=headers)).status == 422


async def test_links_and_metadata_come_later_from_who_recorded_it(ground: Ground) -> None:
    kept = (await ground.record(metadata={"a": 1})).json["id"]
    assert (await ground.add(kept, OTHER, metadata={"a": 2})).status == 403
    assert (await ground.add("nobody's", metadata={"a": 2})).status == 404
    added = await ground.add(kept, attachments=[LINK], metadata={"b": 2})
    assert (added.status, added.json["attachments"], added.json["metadata"]) == (200, [LINK], {"a": 1, "b": 2})
    too_many = await ground.add(kept, attachments=[f"{LINK}{n}" for n in range(10)])
    assert (too_many.status, "more than 10 attachments" in too_many.json["detail"]) == (422, True)


async def test_beside_what_is_erased_or_about_to_be_nothing_is_recorded(ground: Ground) -> None:
    ground.orders.open["1"] = Receipt("1", "default", "instance-a", None, datetime(2026, 5, 4, tzinfo=UTC))
    assert (await ground.record()).status == 410
    ground.orders.open.clear()
    assert (await ground.call(f"sessions/{BESIDE}")).status == 404


async def test_what_an_order_overtakes_is_taken_back(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    record = SqlRemarks.record

    async def overtaken(remarks: SqlRemarks, remark: Any) -> Any:
        kept = await record(remarks, remark)
        ground.orders.open["1"] = Receipt("1", "default", "instance-a", None, datetime(2026, 5, 4, tzinfo=UTC))
        return kept

    monkeypatch.setattr(SqlRemarks, "record", overtaken)
    assert (await ground.record()).status == 410
    assert (await ground.call(f"sessions/{BESIDE}")).status == 404


async def test_while_nobody_can_tell_whether_it_is_erased_nothing_is_recorded(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: object) -> list[str]:
        raise StoreDown("away")

    monkeypatch.setattr(Orders, "open_orders", away)
    assert (await ground.record()).status == 503
