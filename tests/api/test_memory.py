"""What is remembered over HTTP: seen by tenant, approved by persons, forgotten with a receipt."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Literal

import aiohttp
import pytest

from tests.api.client import NO_CALLS, OPERATOR, VIEWER, Api
from tests.api.test_erasing import Recorded
from tests.records import exchange, key
from worker.domain.conversations import Subject
from worker.domain.memory import ToRemember
from worker.errors import StoreDown
from worker.modelling.subjects import named
from worker.transcript import Database, SqlFacts, SqlMemos, SqlTranscriptReader, SqlTranscriptWriter
from worker.web.api import Access, Memorising, app, memorising, serve

ANN, NORTH, ONE = (f"{name}-0123456789abcdef" for name in ("ann", "north", "one"))
TOKENS = json.dumps(
    {
        OPERATOR: "operator",
        VIEWER: "viewer",
        ANN: {"role": "operator", "name": "Ann"},
        NORTH: {"role": "operator", "tenants": ["north"]},
        ONE: {"role": "operator", "instances": ["instance-1"]},
    }
)
KIND = "variable:customer"
ADA, OF_NORTH = named(KIND, "ada", None, "default").digest, named(KIND, "ada", "north", "default").digest


@dataclass(slots=True)
class Site:
    """The API, asked with anybody's token."""

    session: aiohttp.ClientSession
    eraser: Recorded
    facts: SqlFacts

    def by(self, token: str | None = OPERATOR) -> Api:
        return Api(self.session, token)


async def remember(database: Database, number: int, subject: str, tenant: str | None, *, approve: bool = False) -> None:
    memos, wish = SqlMemos(database, engine="default"), ToRemember(subject, KIND, "Settle it.", approve=approve)
    said = exchange(number, key(f"instance-{number}", tenant=tenant), remember=wish, answer=f"Crane {number}.")
    await SqlTranscriptWriter(database).record(said)
    for each in await memos.claim(5):
        await memos.settle(each, each.question, each.answer)


async def served(stack: AsyncExitStack, database: Database, memory: Literal["embedded", "zep"] = "embedded") -> Site:
    await remember(database, 1, ADA, None)
    await remember(database, 2, ADA, None, approve=True)
    await remember(database, 3, OF_NORTH, "north")
    eraser, facts = Recorded(), SqlFacts(database, database.hurried(), engine="default")
    route = memorising(Memorising(facts, eraser, "default", "default", memory == "embedded"))  # type: ignore[arg-type]  # same method
    crashed = list[Exception]()
    stack.callback(lambda: crashed and pytest.fail(str(crashed)))
    application = app(SqlTranscriptReader(database), NO_CALLS, Access.of(TOKENS), report=crashed.append, extend=[route])
    port = await stack.enter_async_context(serve(application, "127.0.0.1", 0))
    session = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
    return Site(session, eraser, facts)


@pytest.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        yield await served(stack, database)


async def test_subjects_are_seen_by_who_may_see_their_tenant_and_go_by_no_name(site: Site) -> None:
    everything = (await site.by().get("/api/memory")).json
    assert [(each["digest"], each["facts"], each["proposed"]) for each in everything] == [(OF_NORTH, 1, 0), (ADA, 1, 1)]
    assert "ada" not in json.dumps(everything)
    assert [each["digest"] for each in (await site.by(NORTH).get("/api/memory")).json] == [OF_NORTH]
    assert (await site.by(NORTH).get(f"/api/memory/{ADA}")).status == 404
    assert (await site.by(ONE).get("/api/memory")).status == 403
    assert (await site.by(None).get("/api/memory")).status == 401


async def test_a_subject_is_found_by_what_the_process_calls_it(site: Site) -> None:
    asked = f"/api/memory?kind={KIND}&value=ada"
    assert [each["digest"] for each in (await site.by().get(asked)).json] == [ADA]
    assert [each["digest"] for each in (await site.by().get(f"{asked}&tenant=north")).json] == [OF_NORTH]
    assert (await site.by().get(f"/api/memory?kind={KIND}&value=bob")).json == []
    for wrong in (f"kind={KIND}", "value=ada", "kind=customer&value=ada", "tenant=north"):
        assert (await site.by().get(f"/api/memory?{wrong}")).status == 422


async def test_facts_lead_to_their_source_and_are_searched(site: Site) -> None:
    known = (await site.by(VIEWER).get(f"/api/memory/{ADA}?words=crane 1")).json
    [fact] = known["facts"]
    assert (fact["text"], fact["instance"]) == ("Asked: Settle it.\nAnswered: Crane 1.", "instance-1")
    assert len(fact["message"]) == 32
    assert known["forgets_one"]


async def test_all_of_it_is_a_file(site: Site) -> None:
    answer = await site.by(VIEWER).get(f"/api/memory/{ADA}/export")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="memory-{ADA}.json"'
    assert [each["state"] for each in answer.json["facts"]] == ["proposed", "approved"]


async def test_a_person_approves_and_nobody_else(site: Site) -> None:
    [proposal, _] = await site.facts.facts(ADA)
    path = f"/api/memory/{ADA}/facts/{proposal.id}/approve"
    assert (await site.by(VIEWER).get(path, "POST")).status == 403
    assert (await site.by(OPERATOR).get(path, "POST")).status == 403  # nobody's name
    assert (await site.by(NORTH).get(path, "POST")).status == 404
    done = (await site.by(ANN).get(path, "POST")).json
    assert [(each["state"], each["approved_by"]) for each in done["facts"]] == [("approved", "Ann"), ("approved", None)]
    assert (await site.by(ANN).get(path, "POST")).status == 404


async def test_one_fact_is_forgotten_where_that_can_be(site: Site, database: Database) -> None:
    known = (await site.facts.facts(ADA))[1]
    async with AsyncExitStack() as stack:
        vendor = await served(stack, database, "zep")
        refused = await vendor.by().get(f"/api/memory/{ADA}/facts/{known.id}", "DELETE")
        assert (refused.status, "no single fact" in refused.json["detail"]) == (409, True)
    path = f"/api/memory/{ADA}/facts/{known.id}"
    assert (await site.by(VIEWER).get(path, "DELETE")).status == 403
    assert [each["state"] for each in (await site.by().get(path, "DELETE")).json["facts"]] == ["proposed"]
    assert (await site.by().get(path, "DELETE")).status == 404
    async with AsyncExitStack() as stack:
        vendor = await served(stack, database, "zep")
        [proposed] = await vendor.facts.facts(ADA)
        left = await vendor.by().get(f"/api/memory/{ADA}/facts/{proposed.id}", "DELETE")
        assert (left.status, left.json["facts"]) == (200, []), "it has not come to the memory yet"


async def test_a_subject_is_forgotten_by_an_order_with_a_receipt(site: Site) -> None:
    assert (await site.by(VIEWER).get(f"/api/memory/{ADA}", "DELETE")).status == 403
    assert (await site.by(NORTH).get(f"/api/memory/{ADA}", "DELETE")).status == 404
    done = await site.by().get(f"/api/memory/{ADA}", "DELETE")
    assert (done.status, done.json["steps"][0]["status"]) == (200, "removed")
    assert site.eraser.orders == [Subject("default", memory=ADA)]
    site.eraser.left = True
    assert (await site.by().get(f"/api/memory/{ADA}", "DELETE")).status == 202
    site.eraser.error = StoreDown("away")
    assert (await site.by().get(f"/api/memory/{ADA}", "DELETE")).status == 503


async def test_a_subject_of_which_nothing_is_known_yet_is_forgotten_by_what_the_process_calls_it(site: Site) -> None:
    bob, norths = (named(KIND, "bob", tenant, "default").digest for tenant in (None, "north"))
    asked = f"/api/memory/{bob}?kind={KIND}&value=bob"
    assert (await site.by().get(f"/api/memory/{bob}", "DELETE")).status == 404
    assert (await site.by().get(f"/api/memory/{ADA}?kind={KIND}&value=bob", "DELETE")).status == 422
    assert (await site.by(NORTH).get(asked, "DELETE")).status == 404
    assert (await site.by(ONE).get(asked, "DELETE")).status == 403
    assert site.eraser.orders == []
    assert (await site.by().get(asked, "DELETE")).status == 200
    assert (await site.by().get(f"/api/memory/{norths}?kind={KIND}&value=bob&tenant=north", "DELETE")).status == 200
    assert site.eraser.orders == [Subject("default", memory=bob), Subject("default", memory=norths)]


async def test_its_document_can_be_had(site: Site) -> None:
    answer = await site.by().get("/api/openapi.json")
    assert answer.status == 200, answer.json
