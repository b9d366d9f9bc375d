"""The reading side's routes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from fastapi import Depends, HTTPException, Path, Query
from pydantic import AfterValidator, AwareDatetime
from starlette.responses import Response, StreamingResponse

from worker import export
from worker.domain.conversations import Counts, Filter, Hit, Instance, Message, MessageFilter, Page, Session, Spent
from worker.ports.transcript import TranscriptReader
from worker.web.api.grants import Grant, MayRead
from worker.web.api.routing import Extension, adding, below_api, from_application

T = TypeVar("T")

RECENT = 10
LONGEST = 255
"""As long as engines let their ids and business keys be."""


def _utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:  # in the first or last hours of the calendar
        return time.replace(tzinfo=UTC)


def known_in(names: Iterable[str]) -> Callable[[str], str]:
    """Make what refuses all but these names."""
    known = tuple(names)

    def check(name: str) -> str:
        if name not in known:
            raise ValueError(f"one of: {', '.join(known)}")
        return name

    return check


Text = Annotated[str | None, Query(max_length=LONGEST)]
Time = Annotated[AwareDatetime | None, AfterValidator(lambda time: time and _utc(time)), Query()]
Id = Annotated[str, Path(max_length=LONGEST)]
After = Annotated[str | None, Query(max_length=1000, description="`next` of the page before.")]
Size = Annotated[int, Query(ge=1, le=200)]
Format = Annotated[str, AfterValidator(known_in(export.FORMATS)), Query(json_schema_extra={"enum": [*export.FORMATS]})]


def _filter(
    engine: Text = None,
    instance: Text = None,
    business_key: Text = None,
    definition_key: Text = None,
    assistant: Text = None,
    tenant: Annotated[list[str] | None, Query(max_length=100, description="Any of these.")] = None,
    active: Annotated[bool | None, Query(description="Still going on, or ended.")] = None,
    since: Time = None,
    until: Time = None,
    parts: Annotated[
        bool, Query(description="business_key, definition_key and assistant are parts, in capitals or not.")
    ] = False,
    free: Annotated[
        bool | None, Query(description="Your own with an assistant, beside all processes; or those of processes.")
    ] = None,
) -> Filter:
    tenants = None if tenant is None else frozenset(tenant)
    chosen = (engine, instance, business_key, definition_key, assistant, tenants, active, since, until)
    return Filter(*chosen, parts=parts, free=free)


Wanted = Annotated[Filter, Depends(_filter)]


@dataclass(frozen=True, slots=True)
class Summary:
    """How much an assistant was spoken with, and the newest of its conversations."""

    counts: Counts
    recent: Sequence[Session]


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads a part of what was said: what a request asks for, within what its token may see."""

    grant: Grant
    after: str | None
    limit: int
    newest: bool

    async def read(self, conversations: TranscriptReader, wanted: MessageFilter) -> Page[Message]:
        """Read messages."""
        return await conversations.messages(
            wanted, within=self.grant.limits, after=self.after, limit=self.limit, newest=self.newest
        )


def _reader(
    grant: MayRead,
    after: After = None,
    limit: Size = 100,
    *,
    newest: Annotated[bool, Query(description="From the newest back.")] = False,
) -> Reader:
    return Reader(grant, after, limit, newest)


Part = Annotated[Reader, Depends(_reader)]


@dataclass(frozen=True, slots=True)
class _Ports:
    """What the routes stand on."""

    conversations: TranscriptReader
    processes: export.Processes


Ports = Annotated[_Ports, from_application(_Ports)]
router = below_api(401, 403, 404, 422, 429, 503)
_TEXTS = {
    each.media_type: {"schema": {"type": "string"}} for each in export.FORMATS.values() if each is not export.JSON
}
_ANSWERS: dict[int | str, dict[str, Any]] = {200: {"content": _TEXTS, "model": list[export.Exported]}}


def reading(conversations: TranscriptReader, processes: export.Processes) -> Extension:
    """Make the extension that adds the routes on one transcript. Whatever a token may not see is not found."""
    return adding(router, _Ports(conversations, processes))


@router.get("/sessions")
async def sessions(
    grant: MayRead, ports: Ports, wanted: Wanted, after: After = None, limit: Size = 50
) -> Page[Session]:
    """Conversations, the newest first."""
    return await ports.conversations.sessions(wanted, within=grant.limits, after=after, limit=limit)


@router.get("/sessions/{session_id}")
async def session(grant: MayRead, ports: Ports, session_id: Id) -> Session:
    """One conversation."""
    return found(await ports.conversations.session(session_id, within=grant.limits))


@router.get("/sessions/{session_id}/cost")
async def session_cost(grant: MayRead, ports: Ports, session_id: Id) -> Spent:
    """What the answers of a conversation took and cost, as far as that is known."""
    found(await ports.conversations.session(session_id, within=grant.limits))
    return await _spent(ports.conversations, MessageFilter(session_id), grant)


@router.get("/sessions/{session_id}/messages")
async def session_messages(part: Part, ports: Ports, session_id: Id) -> Page[Message]:
    """What was said in a conversation, in order."""
    found(await ports.conversations.session(session_id, within=part.grant.limits))
    return await part.read(ports.conversations, MessageFilter(session_id))


@router.get("/instances")
async def instances(
    grant: MayRead, ports: Ports, wanted: Wanted, after: After = None, limit: Size = 50
) -> Page[Instance]:
    """Process instances in which assistants spoke, the newest first."""
    return await ports.conversations.instances(wanted, within=grant.limits, after=after, limit=limit)


@router.get("/instances/{instance_id}")
async def instance(grant: MayRead, ports: Ports, instance_id: Id) -> Instance:
    """One process instance."""
    return found(await ports.conversations.instance(instance_id, within=grant.limits))


@router.get("/instances/{instance_id}/cost")
async def instance_cost(grant: MayRead, ports: Ports, instance_id: Id) -> Spent:
    """What the answers in a process instance took and cost, as far as that is known."""
    found(await ports.conversations.instance(instance_id, within=grant.limits))
    return await _spent(ports.conversations, MessageFilter(instance=instance_id), grant)


@router.get("/instances/{instance_id}/messages")
async def instance_messages(part: Part, ports: Ports, instance_id: Id, activity: Text = None) -> Page[Message]:
    """What was said in a process instance, in any conversation, in the order of time."""
    found(await ports.conversations.instance(instance_id, within=part.grant.limits))
    return await part.read(ports.conversations, MessageFilter(instance=instance_id, activity_id=activity))


async def _spent(conversations: TranscriptReader, wanted: MessageFilter, grant: Grant) -> Spent:
    return (await conversations.spent("all", wanted, within=grant.limits)).get("", Spent())


@router.get("/sessions/{session_id}/export", responses=_ANSWERS, response_class=Response)
async def session_export(grant: MayRead, ports: Ports, session_id: Id, format: Format = "json") -> Response:  # noqa: A002 - its name outside
    """One conversation as a file."""
    return _file(await export.of_session(ports.conversations, session_id, within=grant.limits), format)


@router.get("/instances/{instance_id}/export", responses=_ANSWERS, response_class=Response)
async def instance_export(grant: MayRead, ports: Ports, instance_id: Id, format: Format = "json") -> Response:  # noqa: A002 - its name outside
    """All conversations of a process instance, and of those that it called, as a file."""
    return _file(
        await export.of_instance(ports.conversations, ports.processes, instance_id, within=grant.limits), format
    )


@router.get("/search")
async def search(
    grant: MayRead,
    ports: Ports,
    wanted: Wanted,
    q: Annotated[str, Query(max_length=500, description="All of these words.")],
    after: After = None,
    limit: Size = 50,
) -> Page[Hit]:
    """Messages with all words, the newest first."""
    return await ports.conversations.search(q, wanted, within=grant.limits, after=after, limit=limit)


@router.get("/counts")
async def counts(grant: MayRead, ports: Ports, wanted: Wanted) -> Counts:
    """How much there is."""
    return await ports.conversations.counts(wanted, within=grant.limits)


@router.get("/assistants/{name}/summary")
async def summary(grant: MayRead, ports: Ports, name: Id) -> Summary:
    """How much an assistant was spoken with, as far as one may see: nothing, too, where nobody has."""
    theirs = Filter(assistant=name)
    recent = await ports.conversations.sessions(theirs, within=grant.limits, limit=RECENT)
    return Summary(await ports.conversations.counts(theirs, within=grant.limits), recent.items)


def _file(source: export.Source, name: str) -> Response:
    if not source.sessions:
        raise HTTPException(404)
    chosen = export.FORMATS[name]
    headers = {"Content-Disposition": f'attachment; filename="conversation-{source.sessions[0].id}.{chosen.ending}"'}
    return StreamingResponse(chosen.write(source), media_type=chosen.media_type, headers=headers)


def found(value: T | None) -> T:
    """Return what there is. Raises HTTPException for what is not there, or not to be seen."""
    if value is None:
        raise HTTPException(404)
    return value
