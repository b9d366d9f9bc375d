"""The reading side's routes."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Depends, HTTPException, Path, Query
from pydantic import AfterValidator, AwareDatetime
from starlette.responses import Response

from worker.api import export
from worker.api.access import Viewer
from worker.conversations import (
    Conversations,
    Counts,
    Filter,
    Hit,
    Instance,
    Message,
    MessageFilter,
    Page,
    Session,
)

T = TypeVar("T")

LONGEST = 255
"""As long as engines let their ids and business keys be."""


def _utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:  # in the first or last hours of the calendar
        return time.replace(tzinfo=UTC)


Text = Annotated[str | None, Query(max_length=LONGEST)]
Time = Annotated[AwareDatetime | None, AfterValidator(lambda time: time and _utc(time)), Query()]
Id = Annotated[str, Path(max_length=LONGEST)]
After = Annotated[str | None, Query(max_length=1000, description="`next` of the page before.")]
Size = Annotated[int, Query(ge=1, le=200)]
Format = Literal["json", "markdown"]


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
) -> Filter:
    tenants = None if tenant is None else frozenset(tenant)
    return Filter(engine, instance, business_key, definition_key, assistant, tenants, active, since, until)


Wanted = Annotated[Filter, Depends(_filter)]
Backwards = Annotated[bool, Query(description="From the newest back.")]


def reading(conversations: Conversations) -> APIRouter:
    """Make the routes on one record. Whatever a token may not see is not found."""
    router = APIRouter()
    _add_sessions(router, conversations)
    _add_instances(router, conversations)
    _add_exports(router, conversations)

    @router.get("/search")
    async def search(
        grant: Viewer,
        wanted: Wanted,
        q: Annotated[str, Query(max_length=500, description="All of these words.")],
        after: After = None,
        limit: Size = 50,
    ) -> Page[Hit]:
        """Messages with all words, the newest first."""
        return await conversations.search(q, wanted, within=grant.limits, after=after, limit=limit)

    @router.get("/counts")
    async def counts(grant: Viewer, wanted: Wanted) -> Counts:
        """How much there is."""
        return await conversations.counts(wanted, within=grant.limits)

    return router


def _add_sessions(router: APIRouter, conversations: Conversations) -> None:
    @router.get("/sessions")
    async def sessions(grant: Viewer, wanted: Wanted, after: After = None, limit: Size = 50) -> Page[Session]:
        """Conversations, the newest first."""
        return await conversations.sessions(wanted, within=grant.limits, after=after, limit=limit)

    @router.get("/sessions/{session_id}")
    async def session(grant: Viewer, session_id: Id) -> Session:
        """One conversation."""
        return _found(await conversations.session(session_id, within=grant.limits))

    @router.get("/sessions/{session_id}/messages")
    async def session_messages(
        grant: Viewer, session_id: Id, after: After = None, limit: Size = 100, *, newest: Backwards = False
    ) -> Page[Message]:
        """What was said in a conversation, in order."""
        _found(await conversations.session(session_id, within=grant.limits))
        wanted = MessageFilter(session_id)
        return await conversations.messages(wanted, within=grant.limits, after=after, limit=limit, newest=newest)


def _add_instances(router: APIRouter, conversations: Conversations) -> None:
    @router.get("/instances")
    async def instances(grant: Viewer, wanted: Wanted, after: After = None, limit: Size = 50) -> Page[Instance]:
        """Process instances in which assistants spoke, the newest first."""
        return await conversations.instances(wanted, within=grant.limits, after=after, limit=limit)

    @router.get("/instances/{instance_id}")
    async def instance(grant: Viewer, instance_id: Id) -> Instance:
        """One process instance."""
        return _found(await conversations.instance(instance_id, within=grant.limits))

    @router.get("/instances/{instance_id}/messages")
    async def instance_messages(
        grant: Viewer,
        instance_id: Id,
        activity: Text = None,
        after: After = None,
        limit: Size = 100,
        *,
        newest: Backwards = False,
    ) -> Page[Message]:
        """What was said in a process instance, in any conversation, in the order of time."""
        _found(await conversations.instance(instance_id, within=grant.limits))
        wanted = MessageFilter(instance=instance_id, activity_id=activity)
        return await conversations.messages(wanted, within=grant.limits, after=after, limit=limit, newest=newest)


def _add_exports(router: APIRouter, conversations: Conversations) -> None:
    answers: dict[int | str, dict[str, Any]] = {
        200: {"content": {"text/markdown": {"schema": {"type": "string"}}}, "model": list[export.Exported]},
    }

    @router.get("/sessions/{session_id}/export", responses=answers, response_class=Response)
    async def session_export(grant: Viewer, session_id: Id, format: Format = "json") -> Response:  # noqa: A002 - its name outside
        """One conversation as a file."""
        return _file(await export.of_session(conversations, session_id, within=grant.limits), format)

    @router.get("/instances/{instance_id}/export", responses=answers, response_class=Response)
    async def instance_export(grant: Viewer, instance_id: Id, format: Format = "json") -> Response:  # noqa: A002 - its name outside
        """All conversations of a process instance as a file."""
        return _file(await export.of_instance(conversations, instance_id, within=grant.limits), format)


def _file(exported: Sequence[export.Exported], format_: Format) -> Response:
    if not exported:
        raise HTTPException(404)
    if format_ == "markdown":
        content, kind, ending = export.as_markdown(exported).encode(), "text/markdown", "md"
    else:
        content, kind, ending = export.as_json(exported), "application/json", "json"
    headers = {"Content-Disposition": f'attachment; filename="conversation-{exported[0].session.id}.{ending}"'}
    return Response(content, media_type=kind, headers=headers)


def _found(value: T | None) -> T:
    if value is None:
        raise HTTPException(404)
    return value
