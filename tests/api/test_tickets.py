"""Tickets for sockets: given for a token, and good for one socket."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from tests.api.client import NO_CALLS, OPERATOR, Api
from worker.domain.conversations import Limits
from worker.domain.people import Person
from worker.errors import StoreDown
from worker.transcript import Database, SqlTranscriptReader
from worker.web.api import Access, Grant, TicketOffice, app, serve, ticketing
from worker.web.api.grants import token_digest
from worker.web.api.tickets import agreed

TOKENS = json.dumps({OPERATOR: {"role": "operator", "tenants": ["north", None], "name": "Ann"}})


@dataclass(slots=True)
class Kept:
    """What Redis would keep, without a clock."""

    texts: dict[str, str] = field(default_factory=dict)
    away: bool = False

    async def keep(self, name: str, text: str, life: timedelta) -> None:
        self._check()
        assert life == timedelta(seconds=30)
        self.texts[name] = text

    async def take(self, name: str) -> str | None:
        self._check()
        return self.texts.pop(name, None)

    def _check(self) -> None:
        if self.away:
            raise StoreDown("Redis is away")


@pytest.fixture
def kept() -> Kept:
    return Kept()


def socket(query: str = "", protocols: str = "", kind: str = "websocket", **headers: str) -> dict[str, Any]:
    """A request for a socket, as a server hands it on."""
    named = {"host": "127.0.0.1:8091", **headers} | ({"sec-websocket-protocol": protocols} if protocols else {})
    raw = [(name.encode(), value.encode()) for name, value in named.items()]
    return {
        "type": kind,
        "client": ("127.0.0.1", 1),
        "headers": raw,
        "path": "/api/feed",
        "query_string": query.encode(),
    }


async def test_a_ticket_allows_what_its_token_allows_and_does_so_once(kept: Kept) -> None:
    office = TicketOffice(kept)
    access = Access.of(TOKENS, office=office)
    own = await access.grant(socket(authorization=f"Bearer {OPERATOR}"))
    assert own
    tickets = [(await office.give(own)).ticket for _ in range(2)]

    assert await access.grant(socket(f"x=1&ticket={tickets[0]}")) == own
    assert await access.grant(socket(f"x=1&ticket={tickets[0]}")) is None
    assert await access.grant(socket(protocols=f"feed, ticket.{tickets[1]}")) == own
    assert await access.grant(socket(protocols=f"feed, ticket.{tickets[1]}")) is None


async def test_the_store_knows_no_ticket_and_no_token(kept: Kept) -> None:
    office = TicketOffice(kept)
    own = await Access.of(TOKENS).grant(socket(authorization=f"Bearer {OPERATOR}"))
    assert own
    ticket = (await office.give(own)).ticket
    assert list(kept.texts) == [token_digest(ticket)]
    assert len(ticket) >= 43
    assert not {ticket, OPERATOR} & set(json.dumps(kept.texts).split('"'))


@pytest.mark.parametrize(
    "query", ["", "ticket=", "ticket=guessed", "ticket=%00", "ticket=ä", "ticket={0}&ticket={0}", "Ticket={0}"]
)
async def test_what_is_no_ticket_opens_nothing(kept: Kept, query: str) -> None:
    office = TicketOffice(kept)
    access = Access.of(TOKENS, office=office)
    own = await access.grant(socket(authorization=f"Bearer {OPERATOR}"))
    assert own
    ticket = (await office.give(own)).ticket
    assert await access.grant(socket(query.format(ticket))) is None


@pytest.mark.parametrize("offered", [["feeds", "ticket.x"], ["ticket.x", "feeds", "more"], ["feeds"]])
def test_a_socket_agrees_on_what_is_offered_beside_its_ticket(offered: list[str]) -> None:
    """Browsers hang up where they offer some and hear of none."""
    assert agreed({"subprotocols": offered}) == "feeds"


@pytest.mark.parametrize("scope", [{"subprotocols": ["ticket.x"]}, {"subprotocols": []}, {}])
def test_a_ticket_itself_is_never_agreed_on(scope: dict[str, Any]) -> None:
    assert agreed(scope) is None


async def test_a_ticket_is_for_sockets_alone(kept: Kept) -> None:
    office = TicketOffice(kept)
    access = Access.of(TOKENS, office=office)
    own = await access.grant(socket(authorization=f"Bearer {OPERATOR}"))
    assert own
    ticket = (await office.give(own)).ticket
    assert await access.grant(socket(f"ticket={ticket}", kind="http")) is None
    assert await access.grant(socket(f"ticket={ticket}")) == own


async def test_a_token_that_was_taken_back_opens_nothing_by_its_ticket(kept: Kept) -> None:
    office = TicketOffice(kept)
    access = Access.of(TOKENS, office=office)
    own = await access.grant(socket(authorization=f"Bearer {OPERATOR}"))
    assert own
    ticket = (await office.give(own)).ticket
    access.use(Access.of(json.dumps({"another-0123456789abcdef": "viewer"})))
    assert await access.grant(socket(f"ticket={ticket}")) is None


@pytest.mark.parametrize(("seconds", "good"), [(60, True), (-1, False)])
async def test_a_ticket_of_an_issuers_token_ends_with_it(kept: Kept, seconds: int, *, good: bool) -> None:
    office = TicketOffice(kept)
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    person = Person("https://id.example", "ann", "Ann")
    limits = Limits(frozenset({"a", None}), frozenset({"1"}))
    own = Grant(person.id, frozenset({"read", "ask"}), limits, person, until)
    ticket = (await office.give(own)).ticket
    access = Access.of(TOKENS, office=office)
    assert await access.grant(socket(f"ticket={ticket}")) == (own.personal if good else None)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"id": 1}', "[" * 9000])
async def test_what_no_worker_has_kept_is_no_ticket(kept: Kept, text: str) -> None:
    kept.texts[token_digest("ticket")] = text
    assert await Access.of(TOKENS, office=TicketOffice(kept)).grant(socket("ticket=ticket")) is None


async def test_rights_that_a_newer_worker_knows_are_none_here(kept: Kept) -> None:
    office = TicketOffice(kept)
    until = datetime.now(UTC) + timedelta(seconds=60)
    ticket = (await office.give(Grant("ann", frozenset({"read"}), until=until))).ticket
    [(name, text)] = kept.texts.items()
    said = json.loads(text)
    kept.texts[name] = json.dumps(said | {"rights": ["read", "fly"], "more": 1})
    granted = await Access.of(TOKENS, office=office).grant(socket(f"ticket={ticket}"))
    assert granted
    assert granted.rights == {"read"}


async def test_while_redis_is_away_nobody_can_tell_whether_a_ticket_is_good(kept: Kept) -> None:
    kept.away = True
    with pytest.raises(StoreDown):
        await Access.of(TOKENS, office=TicketOffice(kept)).grant(socket("ticket=ticket"))


async def test_a_socket_is_told_that_its_ticket_cannot_be_read_now(database: Database, kept: Kept) -> None:
    unforeseen: list[Exception] = []
    access = Access.of(TOKENS, office=TicketOffice(kept))
    served = app(SqlTranscriptReader(database), NO_CALLS, access, report=unforeseen.append)
    kept.away = True
    async with serve(served, "127.0.0.1", 0) as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect("/api/feeds?ticket=ticket")
    assert (refused.value.status, refused.value.headers and refused.value.headers["Retry-After"]) == (503, "5")
    assert unforeseen == []


async def test_a_ticket_is_given_to_who_has_a_token(database: Database, kept: Kept) -> None:
    office = TicketOffice(kept)
    access = Access.of(TOKENS, office=office)
    served = app(SqlTranscriptReader(database), NO_CALLS, access, report=print, extend=[ticketing(office)])
    async with serve(served, "127.0.0.1", 0) as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        own, nobody = Api(session, OPERATOR), Api(session, None)
        given = await own.get("/api/tickets", "POST")
        assert (given.status, given.json["seconds"]) == (200, 30)
        assert given.headers["Cache-Control"] == "no-store"
        assert await access.grant(socket(f"ticket={given.json['ticket']}"))
        assert (await nobody.get("/api/tickets", "POST")).status == 401
        kept.away = True
        away = await own.get("/api/tickets", "POST")
        assert (away.status, "No ticket can be kept" in away.text) == (503, True)
