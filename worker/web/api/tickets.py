"""Tickets by which a page opens a socket: browsers send no token along with it, and addresses stand in logs."""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.types import Scope

from worker.domain import foreign
from worker.domain.conversations import Limits
from worker.domain.people import RIGHTS, Person
from worker.errors import StoreDown
from worker.ports.tickets import Tickets
from worker.web.api import problems
from worker.web.api.grants import Grant, Known, token_digest
from worker.web.api.routing import Extension, adding, below_api, from_application

LIFE = timedelta(seconds=30)
PARAMETER = "ticket"
PROTOCOL = "ticket."
"""Before a ticket among the subprotocols that a socket offers, which stand in no log."""
_BYTES = 32


@dataclass(frozen=True, slots=True)
class Ticket:
    """Good for one socket, for so many seconds."""

    ticket: str
    seconds: int


class TicketOffice:
    """Gives tickets for what a token allows, and takes each of them once. The store knows their digests alone."""

    def __init__(self, tickets: Tickets) -> None:
        self._tickets = tickets

    async def give(self, grant: Grant) -> Ticket:
        """Give one. Raises StoreDown."""
        ticket = secrets.token_urlsafe(_BYTES)
        await self._tickets.keep(token_digest(ticket), _dump(grant), LIFE)
        return Ticket(ticket, int(LIFE.total_seconds()))

    async def take(self, ticket: str) -> Grant | None:
        """Return what it was given for; None if it is used, too old, or none. Raises StoreDown."""
        kept = await self._tickets.take(token_digest(ticket))
        return None if kept is None else _load(kept)


@dataclass(frozen=True, slots=True)
class _Ports:
    """What the route stands on."""

    office: TicketOffice


Ports = Annotated[_Ports, from_application(_Ports)]
router = below_api()


def ticketing(office: TicketOffice) -> Extension:
    """Make the extension that adds the route."""
    return adding(router, _Ports(office))


@router.post("/tickets", responses=problems.documented(401, 429, 503))
async def ticket(grant: Known, ports: Ports) -> Ticket:
    """Get a ticket for a socket: its parameter `ticket`, or a subprotocol `ticket.<ticket>` beside another."""
    try:
        return await ports.office.give(grant)
    except StoreDown as exc:
        raise HTTPException(503, "No ticket can be kept now: Redis does not answer.") from exc


def brought(scope: Scope, headers: Headers) -> str | None:
    """Find the ticket that a socket brings; None if there is none, or more than one."""
    found = [*_parameters(scope), *_protocols(headers)]
    return found[0] if len(found) == 1 else None


def agreed(scope: Scope) -> str | None:
    """Choose the subprotocol that a socket is opened with, which is never the ticket; None if no other is offered.

    Browsers hang up where they offer some and hear of none.
    """
    offered: list[str] = scope.get("subprotocols", [])
    return next((each for each in offered if not each.startswith(PROTOCOL)), None)


def _parameters(scope: Scope) -> Iterator[str]:
    query: bytes = scope.get("query_string", b"")
    yield from parse_qs(query.decode("latin-1")).get(PARAMETER, ())


def _protocols(headers: Headers) -> Iterator[str]:
    offered = [each.strip() for line in headers.getlist("sec-websocket-protocol") for each in line.split(",")]
    yield from (each.removeprefix(PROTOCOL) for each in offered if each.startswith(PROTOCOL))


def _dump(grant: Grant) -> str:
    person = grant.person
    tenants, instances = (
        None if each is None else sorted(each, key=lambda name: name or "")
        for each in (grant.limits.tenants, grant.limits.instances)
    )
    # Without what the engine lets them see: that is asked for anew when the ticket is used.
    return json.dumps(
        {
            "id": grant.id,
            "rights": sorted(grant.rights),
            "tenants": tenants,
            "instances": instances,
            "person": [person.issuer, person.subject, person.name] if person else None,
            "engine_user": grant.engine_user,
            "until": grant.until.isoformat() if grant.until else None,
        }
    )


def _load(text: str) -> Grant | None:
    """Read what was kept; None for what no worker of ours can have written."""
    try:
        said: dict[str, Any] = foreign.read(text)
        tenants, instances = (
            None if said[each] is None else frozenset(said[each]) for each in ("tenants", "instances")
        )
        person = Person(*said["person"]) if said["person"] else None
        until = datetime.fromisoformat(said["until"]).astimezone(UTC) if said["until"] else None
        user, limits = said["engine_user"], Limits(tenants, instances)
        # Rights that a newer worker knows are none here.
        return Grant(said["id"], frozenset(said["rights"]) & RIGHTS, limits, person, until, user)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
