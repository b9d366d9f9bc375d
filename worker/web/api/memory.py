"""The routes by which people see what is remembered beyond instances, approve it, and have it forgotten."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import HTTPException, Query, Response
from pydantic import TypeAdapter

from worker.domain.conversations import Subject
from worker.domain.endings import Receipt
from worker.domain.memory import KeptFact, KnownSubject, MemorySubject
from worker.ending import Eraser
from worker.errors import Transient
from worker.modelling.properties import subject_flaw
from worker.modelling.subjects import named
from worker.ports.memory import FactBook
from worker.web.api.grants import Grant, MayErase, MayRead, MaySway, person_of
from worker.web.api.routes import Id, Size, found
from worker.web.api.routing import Extension, adding, below_api, from_application

MOST_EXPORTED = 10_000
NOBODY = "To approve takes a person: give the token a name in API_TOKENS, or log in."
BEYOND = "What is remembered reaches beyond the instances that you may see."
WHOLE = "This memory forgets no single fact: erase its instance, or forget the subject."

Kind = Annotated[str | None, Query(max_length=300, description="As memory.subject says it, with `value`.")]
Value = Annotated[str | None, Query(max_length=1000, description="What stands there, such as a customer's number.")]
Tenant = Annotated[str | None, Query(max_length=255, description="With `kind`: the tenant of the process.")]
Words = Annotated[str, Query(max_length=1000, description="Only facts that have all of these words.")]


@dataclass(frozen=True, slots=True)
class Remembered:
    """A subject with what is known of it, the newest first. `forgets_one`: a fact can be forgotten by itself."""

    subject: KnownSubject
    facts: Sequence[KeptFact]
    forgets_one: bool


@dataclass(frozen=True, slots=True)
class Memorising:
    """What the routes stand on. `engine` is as in what names subjects, `name` that of the engine.

    `forgets_one`: a fact can be forgotten by itself; a vendor may have made others of it.
    """

    facts: FactBook
    eraser: Eraser
    name: str
    engine: str
    forgets_one: bool


_JSON = TypeAdapter(Remembered)


Ports = Annotated[Memorising, from_application(Memorising)]
router = below_api(401, 403, 404, 409, 422, 429, 503)


def memorising(of: Memorising) -> Extension:
    """Make the extension that adds the routes. Whatever a token may not see is not found."""
    return adding(router, of)


@router.get("/memory")
async def remembered_subjects(
    grant: MayRead, of: Ports, kind: Kind = None, value: Value = None, tenant: Tenant = None, limit: Size = 50
) -> Sequence[KnownSubject]:
    """Of whom something is remembered, the latest change first; or the one that `kind` and `value` name."""
    _check(grant)
    whom = _named(of, kind, value, tenant)
    if whom is None:
        return await of.facts.subjects(grant.limits, limit)
    one = await of.facts.subject(whom.digest, grant.limits)
    return [] if one is None else [one]


@router.get("/memory/{digest}")
async def remembered_subject(grant: MayRead, of: Ports, digest: Id, words: Words = "", limit: Size = 100) -> Remembered:
    """What is known of a subject, and what is proposed."""
    one = await _one(of, grant, digest)
    return Remembered(one, await of.facts.facts(digest, words, limit), of.forgets_one)


@router.get("/memory/{digest}/export", response_class=Response, responses={200: {"model": Remembered}})
async def export_memory(grant: MayRead, of: Ports, digest: Id) -> Response:
    """All of it as a JSON file."""
    one = await _one(of, grant, digest)
    known = Remembered(one, await of.facts.facts(digest, "", MOST_EXPORTED), of.forgets_one)
    headers = {"Content-Disposition": f'attachment; filename="memory-{one.digest}.json"'}
    return Response(_JSON.dump_json(known, indent=2), media_type="application/json", headers=headers)


@router.post("/memory/{digest}/facts/{fact}/approve")
async def approve_fact(grant: MaySway, of: Ports, digest: Id, fact: Id) -> Remembered:
    """Have a proposal be recalled from now on, by all instances of the same subject."""
    one = await _one(of, grant, digest)
    person = person_of(grant, NOBODY)
    if not await of.facts.approve(fact, one.digest, str(person)):
        raise HTTPException(404, "Nobody proposes this (any more).")
    return Remembered(await _one(of, grant, digest), await of.facts.facts(digest), of.forgets_one)


@router.delete("/memory/{digest}/facts/{fact}")
async def forget_fact(grant: MayErase, of: Ports, digest: Id, fact: Id) -> Remembered:
    """Forget one fact, or refuse a proposal; returns what is left."""
    one = await _one(of, grant, digest)
    # A proposal has yet to come to the memory.
    if not await of.facts.drop_fact(fact, one.digest, only_proposed=not of.forgets_one):
        raise HTTPException(404, "Nobody knows this (any more).") if of.forgets_one else HTTPException(409, WHOLE)
    return Remembered(await _one(of, grant, digest), await of.facts.facts(digest), of.forgets_one)


@router.delete(
    "/memory/{digest}", responses={HTTPStatus.ACCEPTED: {"model": Receipt, "description": "Some of it is left."}}
)
async def forget_subject(
    grant: MayErase,
    of: Ports,
    digest: Id,
    response: Response,
    kind: Kind = None,
    value: Value = None,
    tenant: Tenant = None,
) -> Receipt:
    """Forget all that is known of a subject; returns the receipt.

    With `kind` and `value`, which name the same, also if nothing is known yet: its first answer may be on its way.
    """
    _check(grant)
    whom = _named(of, kind, value, tenant)
    if whom is not None and kind is not None:
        if whom.digest != digest:
            raise HTTPException(422, "kind and value name another subject.")
        if grant.limits.tenants is None or tenant in grant.limits.tenants:
            await of.facts.know(whom, kind)
    one = await _one(of, grant, digest)
    try:
        receipt = await of.eraser.erase(Subject(of.name, memory=one.digest))
    except Transient as exc:
        raise HTTPException(503, f"Forgetting is not possible now: {exc}") from exc
    if receipt.completed_at is None:
        response.status_code = HTTPStatus.ACCEPTED
    return receipt


def _named(of: Memorising, kind: str | None, value: str | None, tenant: str | None) -> MemorySubject | None:
    """Say whom these name, if they do. Raises HTTPException."""
    if kind is None or value is None:
        if (kind, value, tenant) != (None, None, None):
            raise HTTPException(422, "kind and value go together, and tenant with them.")
        return None
    if flaw := subject_flaw(kind):
        raise HTTPException(422, f"kind: {flaw}")
    return named(kind, value, tenant, of.engine)


def _check(grant: Grant) -> None:
    """Raise HTTPException for who may see some instances or processes only: a subject is beyond them."""
    if grant.limits.instances is not None or grant.limits.definitions is not None:
        raise HTTPException(403, BEYOND)


async def _one(of: Memorising, grant: Grant, digest: str) -> KnownSubject:
    _check(grant)
    return found(await of.facts.subject(digest, grant.limits))
