"""The routes that erase, and tell what became of it."""

from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import HTTPException, Query, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from worker.domain.conversations import Filter, Limits, Subject, every, owner
from worker.domain.endings import Receipt
from worker.domain.people import Person
from worker.ending import Eraser, StillRuns
from worker.errors import Transient
from worker.ports.decisions import DecisionReader
from worker.ports.transcript import TranscriptReader
from worker.web.api import problems
from worker.web.api.grants import Grant, MayErase, MayTalk
from worker.web.api.routes import LONGEST, Id, found
from worker.web.api.routing import Extension, adding, below_api, from_application

Name = Annotated[str | None, Field(min_length=1, max_length=LONGEST)]


class Whom(BaseModel):
    """A person, as the issuer of their tokens names them; `token` is the one of persons whom API_TOKENS names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str = Field(min_length=1, max_length=LONGEST)
    subject: str = Field(min_length=1, max_length=LONGEST)


def _only(name: str, kind: str) -> dict[str, Any]:
    """Say in JSON schema that this property is there, and is not null."""
    return {"required": [name], "properties": {name: {"type": kind}}}


_ONE: dict[str, Any] = {
    "oneOf": [_only("instance", "string"), _only("business_key", "string"), _only("person", "object")]
}


class Wish(BaseModel):
    """Whose conversations are to be erased: one of the three."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=_ONE)

    instance: Name = None
    business_key: Name = None
    person: Whom | None = None

    @model_validator(mode="after")
    def _is_one(self) -> "Wish":
        if [self.instance, self.business_key, self.person].count(None) != 2:  # noqa: PLR2004 - all but one
            raise ValueError("say either instance, business_key or person")
        return self

    def subject(self, engine: str, tenants: frozenset[str | None] | None) -> Subject:
        """Say whose these are, of these tenants."""
        person = Person(self.person.issuer, self.person.subject, "").id if self.person else None
        return Subject(engine, self.instance, self.business_key, tenants, person)


@dataclass(frozen=True, slots=True)
class _Ports:
    """What the routes stand on: `engine` is the name of the engine whose conversations are erased."""

    eraser: Eraser
    conversations: TranscriptReader
    engine: str
    records: DecisionReader | None

    async def sees_all(self, instance: str, limits: Limits) -> bool:
        """Whether no process that may not be seen has a part in what would be erased with an instance."""
        wanted, others = Filter(self.engine, instance), replace(limits, definitions=None)
        seen, there = [(await self.conversations.counts(wanted, within=each)).sessions for each in (limits, others)]
        return seen == there and await self._records(instance, limits) == await self._records(instance, others)

    async def _records(self, instance: str, within: Limits) -> int:
        records = self.records
        if records is None:
            return 0
        found = every(lambda after: records.decisions(within=within, instance=instance, after=after))
        return len([each async for each in found])


Ports = Annotated[_Ports, from_application(_Ports)]
router = below_api()
_ANSWERS = problems.documented(401, 403, 404, 409, 422, 429, 503)
_ANSWERS[HTTPStatus.ACCEPTED] = {"model": Receipt, "description": "Some of it is left, and will be tried again"}


def erasing(
    eraser: Eraser, conversations: TranscriptReader, engine: str, records: DecisionReader | None = None
) -> Extension:
    """Make the extension that adds the routes. Running instances are refused: those end on the command line only.

    `records` are those of decisions, if any are made.
    """
    return adding(router, _Ports(eraser, conversations, engine, records))


@router.post("/erase", responses=_ANSWERS)
async def erase(
    grant: MayErase,
    ports: Ports,
    wish: Wish,
    response: Response,
    *,
    results: Annotated[bool, Query(description="Also the results, in the process variables they are in.")] = False,
) -> Receipt:
    """Erase one instance's conversations, a business key's, or a person's, in every store; returns the receipt.

    Of a person it is what they have beside all processes, and their words in the record of others: the receipt says
    which conversations of processes know these until those end.
    """
    subject = wish.subject(ports.engine, await _check(grant, wish, ports))
    return await _carried_out(ports.eraser, subject, response, results=results)


@router.delete("/sessions/{session_id}", responses=_ANSWERS)
async def end(grant: MayTalk, ports: Ports, session_id: Id, response: Response) -> Receipt:
    """End a conversation of one's own beside all processes: erase it in every store, and return the receipt."""
    own = Limits(grant.limits.tenants, persons=grant.limits.persons)
    session = found(await ports.conversations.session(session_id, within=own))
    return await _carried_out(ports.eraser, found(owner(session.key, None) if session.key.person else None), response)


@router.get("/erasures/{order}", responses=problems.documented(401, 403, 404, 422, 429, 503))
async def erasure(grant: MayErase, ports: Ports, order: Id) -> Receipt:
    """The receipt of an order to erase, complete or not; complete ones can be asked for for 90 days."""
    try:
        receipt = found(await ports.eraser.receipt(order))
    except Transient as exc:
        raise HTTPException(503, f"The receipt cannot be read now: {exc}") from exc
    return found(receipt if _may_read(grant, receipt) else None)


async def _carried_out(eraser: Eraser, subject: Subject, response: Response, *, results: bool = False) -> Receipt:
    try:
        receipt = await eraser.erase(subject, results=results)
    except StillRuns as exc:
        raise HTTPException(409, "An instance of it still runs, so that nothing was erased.") from exc
    except Transient as exc:
        raise HTTPException(503, f"Erasing is not possible now: {exc}") from exc
    if receipt.completed_at is None:
        response.status_code = HTTPStatus.ACCEPTED
    return receipt


def _may_read(grant: Grant, receipt: Receipt) -> bool:
    """Whether all that a receipt speaks of may be seen with this token."""
    limits, tenants = grant.limits, receipt.tenants
    if limits.definitions is not None:  # nobody can tell any more of which processes it was
        return False
    of_these = limits.tenants is None or (tenants is not None and limits.tenants.issuperset(tenants))
    return of_these and (limits.instances is None or receipt.instance in limits.instances)


async def _check(grant: Grant, wish: Wish, ports: _Ports) -> frozenset[str | None] | None:
    """Let a token with limits erase no more than it may see of this engine; returns the tenants whose it may."""
    limits = grant.limits
    if wish.instance is None:
        if limits.instances is not None or limits.definitions is not None:
            raise HTTPException(403, "That may reach beyond the instances that you may see.")
        return limits.tenants
    if limits.hides_processes:
        wanted = Filter(engine=ports.engine, instance=wish.instance)
        if not (await ports.conversations.instances(wanted, within=limits, limit=1)).items:
            raise HTTPException(404)
        if not await ports.sees_all(wish.instance, limits):
            raise HTTPException(403, "Processes that you may not see have a part in what would be erased.")
    return limits.tenants
