"""The page's files, and the routes below /api that only it needs."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, Literal, TypeVar

from fastapi import APIRouter, FastAPI, HTTPException
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from worker.domain.conversations import EVERYTHING, ActivityCounts, Filter, Instance, MessageFilter, Page, Session
from worker.domain.people import Right
from worker.errors import ReadRefused, TaskLost, Transient
from worker.export import FORMATS
from worker.ports.transcript import TranscriptReader
from worker.web.api import problems
from worker.web.api.grants import Grant, Known, MayRead
from worker.web.api.routes import After, Id, Part, Size, Text, Wanted, found
from worker.web.page.processes import Processes, State, why_not
from worker.web.page.reading import Shown, shown
from worker.web.page.standing import Standing, Told

T = TypeVar("T")
L = TypeVar("L", Instance, Session)

MOST_PAGES = 10
"""That are looked through for one that runs."""

FILES = Path(__file__).with_name("static")
VENDOR = Path(__file__).with_name("vendor")
"""Where the installation puts the code of others that draws diagrams."""

VIEWS = (
    "/",
    "/instances",
    "/instances/{rest:path}",
    "/conversations",
    "/conversations/{rest:path}",
    "/search",
    "/embed/instances/{rest:path}",
)
"""Addresses that people see. All of them are the same file, which looks at the address."""


@dataclass(frozen=True, slots=True)
class FileFormat:
    """A format that conversations can be saved in, as `export.Format`."""

    name: str
    label: str
    ending: str


SAVED_AS = [FileFormat(each.name, each.label, each.ending) for each in FORMATS.values()]


@dataclass(frozen=True, slots=True)
class Named:
    """A person, by the id that messages of theirs have."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Me:
    """Who asks, and what the page may offer. `diagrams`: the part that draws them is installed.

    `left_out` says which tasks this worker does not serve, to those who may see every instance.
    """

    role: Literal["viewer", "operator"]
    can_erase: bool
    guarded: bool
    diagrams: bool
    formats: Sequence[FileFormat]
    left_out: Sequence[str] = ()
    person: Named | None = None
    rights: Sequence[Right] = ()


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """A part of a list, and which of the process instances in it run."""

    page: Page[T]
    standing: Told


@dataclass(frozen=True, slots=True)
class Diagram:
    """A definition's BPMN."""

    definition_id: str
    xml: str


@dataclass(frozen=True, slots=True)
class States:
    """The state of each activity that was reached."""

    states: Mapping[str, State]


def routes(
    conversations: TranscriptReader,
    processes: Processes,
    *,
    engine_name: str,
    can_erase: bool = False,
    left_out: Callable[[], Sequence[str]] = tuple,
    vendor: Path = VENDOR,
) -> Callable[[FastAPI], None]:
    """Make the extension of the API's application that serves the page.

    `engine_name` is the engine that `processes` asks: of instances of others nothing is asked, their ids may be taken
    there. `can_erase`: there is a route that erases. `left_out` says what the worker does not serve.
    """

    def extend(application: FastAPI) -> None:
        router = APIRouter()
        _add_me(router, can_erase=can_erase, left_out=left_out, vendor=vendor)
        _add_reading(router, conversations)
        _add_standing(router, conversations, Standing(processes), engine_name)
        _add_processes(router, conversations, processes, engine_name)
        documented = problems.documented(401, 403, 404, 422, 429, 503)
        application.include_router(router, prefix="/api", responses=documented)
        _add_files(application, vendor)

    return extend


def _add_me(router: APIRouter, *, can_erase: bool, left_out: Callable[[], Sequence[str]], vendor: Path) -> None:
    @router.get("/me")
    async def me(grant: Known) -> Me:
        """Who asks, and what they may do."""
        diagrams = (vendor / "bpmn-js" / "viewer.js").is_file()
        guarded = grant.id != "local"
        named = left_out() if "read" in grant.rights and grant.limits == EVERYTHING else ()
        erases = can_erase and "erase" in grant.rights
        person = Named(grant.person.id, grant.person.name) if grant.person else None
        return Me(grant.role, erases, guarded, diagrams, SAVED_AS, named, person, sorted(grant.rights))


def _add_reading(router: APIRouter, conversations: TranscriptReader) -> None:
    @router.get("/instances/{instance_id}/thread", response_model=Page[Shown])
    async def instance_thread(part: Part, instance_id: Id, activity: Text = None) -> Response:
        """What was said in a process instance, ready to be shown."""
        found(await conversations.instance(instance_id, within=part.grant.limits))
        return await shown(await part.read(conversations, MessageFilter(instance=instance_id, activity_id=activity)))

    @router.get("/sessions/{session_id}/thread", response_model=Page[Shown])
    async def session_thread(part: Part, session_id: Id) -> Response:
        """What was said in a conversation, ready to be shown."""
        found(await conversations.session(session_id, within=part.grant.limits))
        return await shown(await part.read(conversations, MessageFilter(session_id)))

    @router.get("/instances/{instance_id}/activities")
    async def instance_activities(grant: MayRead, instance_id: Id) -> Sequence[ActivityCounts]:
        """Activities of a process instance at which assistants spoke, with sums."""
        found(await conversations.instance(instance_id, within=grant.limits))
        return await conversations.activities(instance_id, within=grant.limits)


def _instance(one: Instance | Session) -> str | None:
    return one.id if isinstance(one, Instance) else one.process_instance_id


@dataclass(frozen=True, slots=True)
class _Standings:
    """Asks the engine of what is listed, but for what is another engine's."""

    standing: Standing
    engine_name: str

    async def of(self, *each: Instance | Session) -> Told:
        ids = {_instance(one) for one in each if one.engine == self.engine_name}
        return await self.standing.of([name for name in ids if name is not None])

    async def listing(
        self, read: Callable[[str | None], Awaitable[Page[L]]], wanted: Filter, after: str | None
    ) -> Listing[L]:
        """Leave out of those that are active what the engine says has ended, which the record hears minutes later."""
        for _ in range(MOST_PAGES):
            page = await read(after)
            told = await self.of(*page.items)
            if not wanted.active:
                break
            page = replace(page, items=[each for each in page.items if told.runs.get(_instance(each) or "", True)])
            if page.items or page.next is None:
                break
            after = page.next
        return Listing(page, told)


def _add_standing(router: APIRouter, conversations: TranscriptReader, standing: Standing, engine_name: str) -> None:
    standings = _Standings(standing, engine_name)

    @router.get("/listed/instances")
    async def listed_instances(
        grant: MayRead, wanted: Wanted, after: After = None, limit: Size = 50
    ) -> Listing[Instance]:
        """Process instances as `/instances` has them, and which of them run by the engine's word."""

        async def read(after: str | None) -> Page[Instance]:
            return await conversations.instances(wanted, within=grant.limits, after=after, limit=limit)

        return await standings.listing(read, wanted, after)

    @router.get("/listed/sessions")
    async def listed_sessions(
        grant: MayRead, wanted: Wanted, after: After = None, limit: Size = 50
    ) -> Listing[Session]:
        """Conversations as `/sessions` has them, and which of their instances run by the engine's word."""

        async def read(after: str | None) -> Page[Session]:
            return await conversations.sessions(wanted, within=grant.limits, after=after, limit=limit)

        return await standings.listing(read, wanted, after)

    @router.get("/instances/{instance_id}/standing")
    async def instance_standing(grant: MayRead, instance_id: Id) -> Told:
        """Whether a process instance runs, by the engine's word."""
        return await standings.of(found(await conversations.instance(instance_id, within=grant.limits)))

    @router.get("/sessions/{session_id}/standing")
    async def session_standing(grant: MayRead, session_id: Id) -> Told:
        """Whether the process instance of a conversation runs, by the engine's word."""
        return await standings.of(found(await conversations.session(session_id, within=grant.limits)))


def _add_processes(router: APIRouter, conversations: TranscriptReader, processes: Processes, engine_name: str) -> None:
    async def ours(instance_id: str, grant: Grant) -> Instance:
        instance = found(await conversations.instance(instance_id, within=grant.limits))
        if instance.engine != engine_name:
            raise HTTPException(404, f"This instance is of another engine, {instance.engine}.")
        return instance

    @router.get("/instances/{instance_id}/diagram")
    async def instance_diagram(grant: MayRead, instance_id: Id) -> Diagram:
        """The BPMN of a process instance, from the engine."""
        instance = await ours(instance_id, grant)
        try:
            return Diagram(instance.definition_id, await processes.xml(instance.definition_id))
        except TaskLost:
            raise HTTPException(404, "The engine does not have this process definition any more.") from None
        except (Transient, ReadRefused) as exc:
            raise HTTPException(503, why_not(exc)) from None

    @router.get("/instances/{instance_id}/states")
    async def instance_states(grant: MayRead, instance_id: Id) -> States:
        """The state of each activity of a process instance that was reached, from the engine."""
        instance = await ours(instance_id, grant)
        try:
            return States(await processes.activity_states(instance.id))
        except (Transient, ReadRefused) as exc:
            raise HTTPException(503, why_not(exc)) from None


class _Files(StaticFiles):
    """Files that a browser asks for again each time, and mostly hears that they are the same."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _add_files(application: FastAPI, vendor: Path) -> None:
    async def page() -> Response:
        return FileResponse(FILES / "index.html", media_type="text/html", headers={"Cache-Control": "no-cache"})

    for path in VIEWS:
        application.add_api_route(path, page, include_in_schema=False, response_class=Response)
    application.mount("/static", _Files(directory=FILES))
    if vendor.is_dir():
        application.mount("/vendor", _Files(directory=vendor))
