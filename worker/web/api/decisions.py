"""The routes by which records of decisions are read, exported and verified."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator
from starlette.responses import Response

from worker.chat.trying import Trying
from worker.decisions import hashing, report
from worker.decisions.comparing import Comparison
from worker.decisions.formats import FORMATS
from worker.decisions.keys import PublicKeys, SigningKey
from worker.decisions.report import Told
from worker.decisions.schemas import LARGEST
from worker.decisions.what_ifs import Erased, WhatIf
from worker.domain.conversations import Page
from worker.domain.decisions import Decision, DecisionSeen, Held
from worker.ending import HeldAlready, Holds, NotHeld
from worker.ending.holds import LONGEST_REASON, Records
from worker.errors import BadRecord, Permanent
from worker.export import comparing
from worker.export.verifying import check, verified
from worker.ports.decisions import DecisionSources
from worker.runtime.beside import for_reader
from worker.web.api import problems
from worker.web.api.grants import Grant, MayAsk, MayHold, MayRead, person_of
from worker.web.api.routes import After, Id, Size, Text, found, known_in
from worker.web.api.routing import Extension, adding, below_api, from_application
from worker.web.api.stops import who
from worker.web.saving import FileFormat

Format = Annotated[str, AfterValidator(known_in(FORMATS)), Query(json_schema_extra={"enum": [*FORMATS]})]
First = Annotated[int | None, Query(alias="from", ge=1, le=2**31, description="The one before the other without.")]
Second = Annotated[int | None, Query(alias="to", ge=1, le=2**31, description="The last one without.")]
Points = Annotated[float, Field(ge=0, le=LARGEST, allow_inf_nan=False)]
Revision = Annotated[int | None, Query(ge=1, le=2**31, description="An earlier one; the last one without.")]


SAVED_AS = FileFormat.all_of(FORMATS.values())


class Reason(BaseModel):
    """Why a hold is set or lifted. It stays as long as the record does, and no order to erase takes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: str = Field(min_length=1, max_length=LONGEST_REASON)

    @field_validator("reason")
    @classmethod
    def _says_something(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("say why")
        return value.strip()


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a record is on legal hold, and by whom."""

    held: Held | None


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose a record is. `name` tells it from others of its instance. `held`: it is on legal hold now."""

    id: str
    process_instance_id: str
    name: str
    tenant: str | None
    definition_key: str
    business_key: str | None
    began_at: datetime
    changed_at: datetime
    held: Held | None

    @staticmethod
    def of(one: Decision | DecisionSeen) -> dict[str, Any]:
        """Say it by these names."""
        key = one.key
        own = {"id": key.id, "process_instance_id": key.instance, "name": key.name, "tenant": key.tenant}
        same = ("definition_key", "business_key", "began_at", "changed_at", "held")
        return own | {name: getattr(one, name) for name in same}


@dataclass(frozen=True, slots=True)
class Listed(Whose):
    """A record of a decision, as a list shows it."""

    revision: int
    status: str


@dataclass(frozen=True, slots=True)
class Shown(Whose):
    """A record at one revision: `record` is a decision-record/1, `rows` tell of its changes and signatures.

    The rest is made of it, to be read: `standing` in one word, `content` and `sources` with texts in their places,
    `findings` in words. A text that was erased is `[erased]` there.
    """

    record: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    standing: str
    content: Mapping[str, Any]
    sources: Mapping[str, Any]
    findings: Sequence[Told]
    formats: Sequence[FileFormat]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a record is what it was. `problems` do not hold; `anchors` outside of its database do; `erased` texts.

    Without an anchor nobody can tell whether who may write to the database has hashed all anew: a note says so.
    """

    holds: bool
    problems: Sequence[str]
    anchors: Sequence[str]
    notes: Sequence[str]
    erased: int


_REFUSED: problems.Told = {HeldAlready: (409, "{}"), NotHeld: (409, "{}")}
_NONE: problems.Told = {BadRecord: (409, "It cannot be shown: {}. Restore it, or look at verify")}
_NOBODY = "A hold takes a person: give the token a name in API_TOKENS, or log in."


def _by(grant: Grant) -> str:
    person_of(grant, _NOBODY)
    return who(grant)


def _shown(one: Decision) -> Shown:
    content = report.shown(one.record)
    return Shown(
        **Whose.of(one),
        record=one.record,
        rows=one.rows,
        standing=report.status(one.record),
        content=content,
        sources=hashing.opened(one.record["sources"], one.record["texts"]),
        findings=[*report.findings(content)],
        formats=SAVED_AS,
    )


NOBODY = "A what-if is kept with its person: give this token a name in API_TOKENS."
LONGEST_NAME = 100
LONGEST_WHY = 2000
MOST_CRITERIA = 100

_TOLD: problems.Told = {
    Erased: (410, "{}"),
    BadRecord: (409, "{}"),
}
"""What keeps weights from being kept, and how that is answered."""


class Weights(BaseModel):
    """Weights that somebody tried out: points for each criterion by its id, a name for them, and why they are kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=LONGEST_NAME, pattern=r"\S")
    why: str = Field(min_length=1, max_length=LONGEST_WHY, pattern=r"\S")
    points: Mapping[str, Points] = Field(min_length=1, max_length=MOST_CRITERIA)


@dataclass(frozen=True, slots=True)
class Kept:
    """Weights that are kept as `id` in the record's revision, and what they come to."""

    id: str
    revision: int
    leader: str
    lead: float
    ranking: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Ports:
    """What the routes stand on. `known` are the keys, by their ids, that are known to be ours."""

    records: Records
    sources: DecisionSources
    trying: Trying
    holds: Holds
    known: PublicKeys

    async def read(self, grant: Grant, decision_id: str, revision: int | None) -> Decision:
        return found(await self.records.decision(decision_id, within=grant.limits, revision=revision))

    async def whole(self, grant: Grant, decision_id: str, revision: int | None) -> Decision:
        """Read one that is in its form."""
        one = await self.read(grant, decision_id, revision)
        with problems.refusing(_NONE):
            await check(one)
        return one


Ports = Annotated[_Ports, from_application(_Ports)]
router = below_api(401, 403, 404, 422, 429, 503)
_FILES = {
    each.media_type: {"schema": {"type": "string"} if each.media_type.startswith("text/") else {}}
    for each in FORMATS.values()
    if each.name != "json"
}
_ANSWERS: dict[int | str, dict[str, Any]] = {200: {"content": _FILES, "model": dict[str, Any]}}
_ANSWERS |= problems.documented(409, 501)


def deciding(records: Records, sources: DecisionSources, trying: Trying, key: SigningKey | None = None) -> Extension:
    """Make the extension that adds the routes. Whatever a token may not see is not found.

    With a `key` holds are signed by it, and what it has signed is known to be ours.
    """
    known = {key.id: key.public} if key else {}
    return adding(router, _Ports(records, sources, trying, Holds(records, key), known))


@router.post(
    "/decisions/{decision_id}/what-ifs",
    status_code=HTTPStatus.CREATED,
    responses={200: {"model": Kept, "description": "They are kept already."}, **problems.documented(409, 410)},
)
async def keep(grant: MayAsk, ports: Ports, decision_id: Id, weights: Weights, answer: Response) -> Kept:
    """Keep weights that somebody tried out, in the last revision; the same under the same name are kept once.

    They rank nothing, and the process hears nothing of them.
    """
    person = person_of(grant, NOBODY)
    one = found(await ports.records.decision(decision_id, within=grant.limits))
    with problems.refusing(_TOLD):
        tried = await ports.trying.keep(one, person, WhatIf(weights.name.strip(), weights.why.strip(), weights.points))
    if not tried.is_new:
        answer.status_code = HTTPStatus.OK
    record = tried.decision.record
    order = record["content"]["computed"]["sets"][tried.id]
    return Kept(tried.id, record["revision"], order["leader"], order["lead"], order["ranking"])


@router.post("/decisions/{decision_id}/hold", responses=problems.documented(409))
async def hold(grant: MayHold, ports: Ports, decision_id: Id, wish: Reason) -> Standing:
    """Put a record on legal hold: nothing of it, nor of the messages that it cites, is erased until it is released.

    It takes a person. A record has one hold at a time.
    """
    with problems.refusing(_REFUSED):
        one = await ports.holds.hold(decision_id, _by(grant), wish.reason, within=grant.limits)
    return Standing(found(one).held)


@router.post("/decisions/{decision_id}/release", responses=problems.documented(409))
async def release(grant: MayHold, ports: Ports, decision_id: Id, wish: Reason) -> Standing:
    """Lift a legal hold: orders to erase that waited for it go on within the hour."""
    with problems.refusing(_REFUSED):
        one = await ports.holds.release(decision_id, _by(grant), wish.reason, within=grant.limits)
    return Standing(found(one).held)


@router.get("/decisions")
async def decisions(
    grant: MayRead, ports: Ports, instance: Text = None, after: After = None, limit: Size = 50
) -> Page[Listed]:
    """Records of decisions, those that changed last first."""
    page = await ports.records.decisions(within=grant.limits, instance=instance, after=after, limit=limit)
    listed = [Listed(**Whose.of(each), revision=each.revision, status=each.status) for each in page.items]
    return Page(listed, page.next)


@router.get("/decisions/{decision_id}", responses=problems.documented(409))
async def decision(grant: MayRead, ports: Ports, decision_id: Id, revision: Revision = None) -> Shown:
    """One record."""
    one = await ports.whole(grant, decision_id, revision)
    return await for_reader(_shown, one)


@router.get("/decisions/{decision_id}/verify")
async def verdict(grant: MayRead, ports: Ports, decision_id: Id, revision: Revision = None) -> Verdict:
    """Compute all of a record anew, and compare it with its hashes, its rows and the engine's history."""
    said = await verified(await ports.read(grant, decision_id, revision), ports.sources, keys=ports.known)
    return Verdict(said.holds, said.problems, said.anchors, said.notes, said.erased)


@router.get("/decisions/{decision_id}/compare", responses=problems.documented(409))
async def difference(
    grant: MayRead, ports: Ports, decision_id: Id, first: First = None, second: Second = None
) -> Comparison:
    """What is different between two revisions, and who signed which."""
    with problems.refusing(_NONE):
        compared = await comparing.compared(ports.records, decision_id, first, second, within=grant.limits)
    return found(compared)


@router.get("/decisions/{decision_id}/export", responses=_ANSWERS, response_class=Response)
async def exported(
    grant: MayRead,
    ports: Ports,
    decision_id: Id,
    revision: Revision = None,
    format: Format = "json",  # noqa: A002 - its name outside
) -> Response:
    """One record as a file."""
    one = await ports.whole(grant, decision_id, revision)
    chosen = FORMATS[format]
    with problems.refusing({Permanent: (501, "{}")}):
        content = await for_reader(chosen.write, {**one.record, "rows": list(one.rows)})
    name = f"decision-{one.id}-{one.record['revision']}.{chosen.ending}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=chosen.media_type, headers=headers)
