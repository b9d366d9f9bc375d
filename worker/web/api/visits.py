"""The routes that tell who is at a session, and by which integrations say that they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field

from worker.domain import visits
from worker.ports.transcript import TranscriptReader
from worker.ports.visits import VisitBook
from worker.telemetry import metrics
from worker.web.api.asks import LONGEST_CLIENT_ID
from worker.web.api.grants import Grant, MayRead
from worker.web.api.routes import Id, found
from worker.web.api.routing import Extension, adding, below_api, from_application

MOST_EACH = 20
"""Open visits of one person at one session."""


class Arrival(BaseModel):
    """A visit. The client names it, so that it may send this again: the same id is the same visit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1, max_length=LONGEST_CLIENT_ID)


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit at a session: whose, from when to when, and for how long. `is_yours`: of who asks."""

    id: str
    session_id: str
    person: str
    is_yours: bool
    is_open: bool
    began_at: datetime
    last_seen_at: datetime
    ended_at: datetime | None
    duration_seconds: float | None

    @classmethod
    def of(cls, visit: visits.Visit, grant: Grant) -> "Visit":
        """Show one."""
        told = {name: getattr(visit, name) for name in cls.__slots__ if name != "is_yours"}
        return cls(**told, is_yours=visit.person_id == grant.speaker.id)


@dataclass(frozen=True, slots=True)
class _Clients:
    """The visits that clients keep up by requests. Every method raises HTTPException, and TranscriptDown."""

    book: VisitBook
    conversations: TranscriptReader

    async def arrive(self, grant: Grant, session_id: str, client_id: str) -> visits.Visit:
        session = found(await self.conversations.session(session_id, within=grant.limits))
        name = visits.visit_id(session.id, grant.speaker, client_id)
        is_new = await self.book.visit(name) is None
        here = await self.book.of_session(session.id, is_open=True) if is_new else ()
        if len([each for each in here if each.person_id == grant.speaker.id]) >= MOST_EACH:
            raise HTTPException(409, f"You are here {MOST_EACH} times already: end a visit, or wait until it is over.")
        visit = await self.book.begin(name, session.id, grant.speaker)
        if visit is None:
            raise HTTPException(410, "This conversation is erased, or names nobody any more.")
        metrics.VISITS.labels("opened").inc(is_new)
        return visit

    async def stay(self, grant: Grant, visit_id: str) -> visits.Visit:
        await self._own(grant, visit_id)
        visit = found(await self.book.beat(visit_id))
        if not visit.is_open:
            raise HTTPException(409, "This visit is over: begin another one.")
        return visit

    async def leave(self, grant: Grant, visit_id: str) -> visits.Visit:
        before = await self._own(grant, visit_id)
        visit = found(await self.book.end(visit_id))
        metrics.VISITS.labels("closed").inc(before.is_open and not visit.is_open)
        return visit

    async def _own(self, grant: Grant, visit_id: str) -> visits.Visit:
        visit = found(await self.book.visit(visit_id))
        found(await self.conversations.session(visit.session_id, within=grant.limits))
        if visit.person_id != grant.speaker.id:
            raise HTTPException(403, "This is somebody else's visit.")
        return visit


Ports = Annotated[_Clients, from_application(_Clients)]
router = below_api(401, 403, 404, 409, 410, 422, 429, 503)


def visiting(book: VisitBook, conversations: TranscriptReader) -> Extension:
    """Make the extension that adds the routes. A token is at what it may see, and sees who else is there."""
    return adding(router, _Clients(book, conversations))


@router.get("/sessions/{session_id}/visits")
async def session_visits(
    grant: MayRead,
    clients: Ports,
    session_id: Id,
    open: Annotated[bool | None, Query(description="Those who are there now, or were.")] = None,  # noqa: A002 - its name outside
) -> Sequence[Visit]:
    """Who is and was at a conversation, the newest hundred: who reads it along, and who says so here."""
    found(await clients.conversations.session(session_id, within=grant.limits))
    return [Visit.of(each, grant) for each in await clients.book.of_session(session_id, is_open=open)]


@router.post("/sessions/{session_id}/visits", status_code=HTTPStatus.CREATED)
async def arrive(grant: MayRead, clients: Ports, session_id: Id, arrival: Arrival) -> Visit:
    """Be at a conversation without reading it along. It ends after 100 s without a heartbeat."""
    return Visit.of(await clients.arrive(grant, session_id, arrival.id), grant)


@router.post("/visits/{visit_id}/heartbeat")
async def heartbeat(grant: MayRead, clients: Ports, visit_id: Id) -> Visit:
    """Still be there. A visit that is over stays over: 409."""
    return Visit.of(await clients.stay(grant, visit_id), grant)


@router.delete("/visits/{visit_id}")
async def leave(grant: MayRead, clients: Ports, visit_id: Id) -> Visit:
    """End a visit of one's own, and hear how long it was. One that a feed keeps ends with the feed."""
    return Visit.of(await clients.leave(grant, visit_id), grant)
