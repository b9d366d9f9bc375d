"""Handing over over HTTP: who may, in which form, and what is said where it cannot be."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from tests.api.client import NO_CALLS, Answer, Api
from tests.api.conftest import KEYS
from tests.api.test_asks import Orders, Threads
from tests.asks import ask
from tests.fakes.instances import FakeInstances
from tests.fakes.receivers import FakeReceivers, Waiting
from worker.chat.desk import Desk
from worker.chat.handing import Handing
from worker.chat.ports import ChatPorts
from worker.domain.asks import Ask, State
from worker.errors import EngineDown, ReadRefused
from worker.transcript import Database, SqlAsks, SqlHandovers, SqlTranscriptReader, SqlTranscriptWriter
from worker.web.api import Access, app, handing_over, serve

ANN, NOBODY, READER, NORTH = (f"{name}-0123456789abcdef" for name in ("ann", "nobody", "reader", "north"))
TOKENS = json.dumps(
    {
        ANN: {"name": "Ann", "rights": ["read", "hand_over"], "engine_user": "ann"},
        NOBODY: "operator",
        READER: {"name": "Rita", "rights": ["read", "ask", "sway", "erase", "stop"]},
        NORTH: {"name": "Nora", "role": "operator", "tenants": ["north"]},
    }
)
BODY = {"message": "approved", "variable": "note", "text": "Yes."}


class Ground:
    """What the routes stand on, and a way to ask them."""

    def __init__(self, session: aiohttp.ClientSession, receivers: FakeReceivers, asked: Ask) -> None:
        self.session = session
        self.receivers = receivers
        self.asked = asked

    async def hand(self, token: str = ANN, method: str = "POST", body: Any = BODY) -> Answer:
        options = {} if method == "GET" else {"json": body}
        return await Api(self.session, token).get(f"/api/asks/{self.asked.id}/handover", method, **options)


@pytest.fixture
async def ground(database: Database, transcript: SqlTranscriptWriter) -> AsyncIterator[Ground]:
    await transcript.ping()
    conversations, crashed = SqlTranscriptReader(database), list[Exception]()
    asks, receivers = SqlAsks(database, engine="default"), FakeReceivers()
    receivers.instances["instance-a"] = Waiting({"execution-1": "approved"})
    await asks.accept(ask(about=KEYS["a"]))
    [held] = await asks.claim(1, timedelta(minutes=1))
    await asks.settle(held, State.ANSWERED, answer="0" * 32)
    ports = ChatPorts(asks, conversations, Orders(), FakeInstances(), Threads())  # type: ignore[arg-type]  # the methods that are needed

    async def has_spin() -> bool:
        return True

    handing = Handing(ports, SqlHandovers(database), receivers, has_spin)
    async with AsyncExitStack() as stack:
        route = handing_over(handing, Desk(ports, lambda: None), conversations)
        application = app(conversations, NO_CALLS, Access.of(TOKENS), report=crashed.append, extend=[route])
        port = await stack.enter_async_context(serve(application, "127.0.0.1", 0))
        session = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
        yield Ground(session, receivers, held)
    assert crashed == []


async def test_what_is_handed_over_is_told_and_the_same_again_too(ground: Ground) -> None:
    assert (await ground.hand(method="GET")).status == 404
    first, again = await ground.hand(), await ground.hand()
    assert (first.status, again.status) == (200, 200)
    told = first.json
    assert (told["ask_id"], told["person"], told["message"], told["task"]) == (ground.asked.id, "Ann", "approved", None)
    assert (told["variable"], told["state"], told["decided_by"]) == ("note", "handed_over", "")
    assert again.json == told
    assert (await ground.hand(READER, "GET")).json == told
    for token, seen in ((READER, (200, [told])), (NORTH, (404, None))):
        listed = await Api(ground.session, token).get(f"/api/sessions/{ground.asked.session_id}/handovers")
        assert (listed.status, listed.json if listed.status == 200 else None) == seen
    assert (await ground.hand(body=BODY | {"text": "No."})).status == 409
    assert len(ground.receivers.script.named("correlate")) == 1


async def test_a_user_task_is_had_as_the_user_that_the_person_is_in_the_engine(ground: Ground) -> None:
    ground.receivers.instances["instance-a"].task("sign", "instance-a", assignee="ann")
    body = {"task": "sign", "variable": "note", "text": "Yes."}
    assert (await ground.hand(body=body)).json["task"] == "sign"


async def test_a_task_of_somebody_else_is_refused(ground: Ground) -> None:
    ground.receivers.instances["instance-a"].task("sign", "instance-a", assignee="Ann")
    refused = await ground.hand(body={"task": "sign", "variable": "note", "text": "Yes."})
    assert (refused.status, "for somebody else" in refused.json["detail"]) == (403, True)


async def test_what_waits_there_is_told_to_who_may_hand_it_over(ground: Ground) -> None:
    process = ground.receivers.instances["instance-a"]
    process.messages["execution-2"] = "approved"
    process.task("sign", "instance-a", assignee="ann", name="Sign it")
    process.task("check", "instance-a", groups=frozenset(["clerks"]))
    process.task("claimed", "instance-a", assignee="Ann")
    process.task("handed on", "instance-a", is_delegated=True)

    async def told(token: str = ANN) -> Answer:
        return await Api(ground.session, token).get(f"/api/asks/{ground.asked.id}/receivers")

    found = (await told()).json
    assert found["messages"] == ["approved"]
    assert found["tasks"][0] == {"id": "sign", "name": "Sign it", "assignee": "ann", "may_complete": True}
    may = [(each["id"], each["may_complete"]) for each in found["tasks"]]
    assert may == [("sign", True), ("check", False), ("claimed", False), ("handed on", False)]
    ground.receivers.members["ann"] = frozenset(["clerks"])
    assert (await told()).json["tasks"][1]["may_complete"]
    assert [(await told(each)).status for each in (NOBODY, READER, NORTH)] == [403, 403, 404]
    for trouble in (EngineDown("no answer in time"), ReadRefused("not for this user")):
        ground.receivers.script.next("tasks", trouble)
        refused = await told()
        assert (refused.status, "ngine" in refused.json["detail"]) == (503, True)


async def test_without_a_person_nobody_hands_over(ground: Ground) -> None:
    refused = await ground.hand(NOBODY)
    assert (refused.status, "give this token a name" in refused.json["detail"]) == (403, True)
    assert (await ground.hand(NOBODY, "PATCH", {"happened": True})).status == 403
    assert ground.receivers.script.calls == []


@pytest.mark.parametrize(("token", "status"), [(READER, 403), (NORTH, 404)])
async def test_nobody_hands_over_without_the_right_or_what_may_not_be_seen(
    ground: Ground, token: str, status: int
) -> None:
    assert (await ground.hand(token)).status == status
    assert (await ground.hand(token, "PATCH", {"happened": True})).status == status
    assert ground.receivers.script.calls == []


@pytest.mark.parametrize(
    "body",
    [
        {"variable": "note"},
        BODY | {"task": "sign"},
        BODY | {"message": ""},
        BODY | {"message": "a/b"},
        BODY | {"message": ".."},
        BODY | {"variable": "no name"},
        BODY | {"variable": "a/b"},
        BODY | {"variable": "handover_x"},
        BODY | {"variable": "assistant_thread_x"},
        BODY | {"variable": "x_meta"},
        BODY | {"text": ""},
        BODY | {"text": "x" * 20_001},
        BODY | {"instance": "another"},
    ],
    ids=lambda body: str(body)[-60:],
)
async def test_a_hand_over_has_its_form(ground: Ground, body: dict[str, Any]) -> None:
    assert (await ground.hand(body=body)).status == 422
    assert ground.receivers.script.calls == []


async def test_why_it_cannot_be_is_said(ground: Ground) -> None:
    process = ground.receivers.instances["instance-a"]
    process.messages.clear()
    refused = await ground.hand()
    assert (refused.status, "waits for the message" in refused.json["detail"]) == (409, True)
    process.runs = False
    refused = await ground.hand()
    assert (refused.status, "it is over" in refused.json["detail"]) == (410, True)
    ground.receivers.script.always("look", EngineDown("no answer in time"))
    refused = await ground.hand()
    assert (refused.status, "Retry-After" in refused.headers) == (503, True)
    assert (await ground.hand(method="GET")).status == 404, "nothing is claimed"


async def test_an_answer_that_is_not_recorded_yet_is_to_be_asked_for_again(ground: Ground) -> None:
    refused = await ground.hand(body={"message": "approved", "variable": "note"})
    assert (refused.status, "Retry-After" in refused.headers) == (503, True)


async def test_while_nobody_knows_what_became_of_it_that_is_said(ground: Ground) -> None:
    process = ground.receivers.instances["instance-a"]
    assert (await ground.hand(method="PATCH", body={"happened": True})).status == 409
    process.ends_with, process.has_history = frozenset({"approved"}), False
    ground.receivers.script.next("correlated", EngineDown("no answer"))
    ground.receivers.script.next("look", None, EngineDown("away"))
    running = await ground.hand()
    assert (running.status, running.json["state"]) == (202, "running")

    process.has_history = True
    process.variables.clear()
    assert (await ground.hand()).status == 410, "it is over, and its history says that it was not handed this"


async def test_what_may_have_been_handed_over_is_decided_by_a_person(ground: Ground) -> None:
    process = ground.receivers.instances["instance-a"]
    process.ends_with, process.has_history = frozenset({"approved"}), False
    ground.receivers.script.next("correlated", EngineDown("no answer"))
    unknown = await ground.hand()
    assert (unknown.status, unknown.json["state"]) == (200, "unknown")
    decided = await ground.hand(method="PATCH", body={"happened": True})
    assert (decided.status, decided.json["state"], decided.json["decided_by"]) == (200, "handed_over", "Ann")
    assert (await ground.hand(method="PATCH", body={"happened": False})).status == 409
