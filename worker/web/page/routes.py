"""The page's files, and the routes below /api that only it needs."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from worker.domain.conversations import ActivityCounts, MessageFilter, Page
from worker.domain.people import Right
from worker.export import FORMATS
from worker.ports.transcript import TranscriptReader
from worker.web.api.grants import Known, MayRead
from worker.web.api.routes import Id, Part, Text, found
from worker.web.api.routing import Extension, adding, below_api, from_application
from worker.web.page import following, listing
from worker.web.page.processes import Processes
from worker.web.page.reading import Shown, shown
from worker.web.page.standing import Standing
from worker.web.page.watching import Watching
from worker.web.saving import FileFormat

FILES = Path(__file__).with_name("static")
VENDOR = Path(__file__).with_name("vendor")
"""Where the installation puts the code of others that draws diagrams."""

VIEWS = (
    "/",
    "/instances",
    "/instances/{rest:path}",
    "/conversations",
    "/conversations/{rest:path}",
    "/assistants/{rest:path}",
    "/decisions",
    "/decisions/{rest:path}",
    "/memory",
    "/memory/{rest:path}",
    "/search",
    "/erasures/{rest:path}",
    "/embed/instances",
    "/embed/instances/{rest:path}",
)
"""Addresses that people see. All of them are the same file, which looks at the address."""


SAVED_AS = FileFormat.all_of(FORMATS.values())


@dataclass(frozen=True, slots=True)
class Named:
    """A person, by the id that messages of theirs have."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Me:
    """Who asks, and what the page may offer. `diagrams`: the part that draws them is installed.

    `left_out` says which tasks this worker does not serve, to those who may see every instance. `assistants` are those
    with whom they may talk beside all processes. `has_memory`: something may be remembered that they may see.
    """

    role: Literal["viewer", "operator"]
    can_erase: bool
    has_asks: bool
    guarded: bool
    diagrams: bool
    formats: Sequence[FileFormat]
    left_out: Sequence[str] = ()
    person: Named | None = None
    rights: Sequence[Right] = ()
    assistants: Sequence[str] = ()
    has_memory: bool = False


async def _none() -> Collection[str]:
    return ()


@dataclass(frozen=True, slots=True)
class _Ports:
    """What the routes stand on, and what the page may offer: see `routes`."""

    conversations: TranscriptReader
    can_erase: bool
    has_asks: bool
    has_memory: bool
    left_out: Callable[[], Sequence[str]]
    assistants: Callable[[], Sequence[str]]
    vendor: Path


Ports = Annotated[_Ports, from_application(_Ports)]
router = below_api(401, 403, 404, 422, 429, 503)
views = APIRouter()


def routes(
    conversations: TranscriptReader,
    processes: Processes,
    *,
    engine_name: str,
    can_erase: bool = False,
    has_asks: bool = False,
    left_out: Callable[[], Sequence[str]] = tuple,
    definitions: Callable[[], Awaitable[Collection[str]]] = _none,
    assistants: Callable[[], Sequence[str]] = tuple,
    has_memory: bool = False,
    vendor: Path = VENDOR,
) -> Extension:
    """Make the extension of the API's application that serves the page.

    `engine_name` is the engine that `processes` asks: of instances of others nothing is asked, their ids may be taken
    there. `can_erase`: there is a route that erases. `has_asks`: there are those where people ask back. `left_out` says
    what the worker does not serve, `definitions` the keys of those with tasks of ours. `assistants` can be talked to
    beside all processes. `has_memory`: there are the routes by which people see what is remembered.
    """
    watching = Watching(processes, definitions)
    extensions = (
        adding(router, _Ports(conversations, can_erase, has_asks, has_memory, left_out, assistants, vendor)),
        listing.extension(conversations, Standing(processes), watching, engine_name),
        following.extension(conversations, processes, watching, engine_name),
    )

    def extend(application: FastAPI) -> None:
        for each in extensions:
            each(application)
        _add_files(application, vendor)

    return extend


@router.get("/me")
async def me(grant: Known, ports: Ports) -> Me:
    """Who asks, and what they may do."""
    diagrams = (ports.vendor / "bpmn-js" / "viewer.js").is_file()
    guarded = not grant.is_local
    named = ports.left_out() if "read" in grant.rights and not grant.limits.hides_processes else ()
    erases = ports.can_erase and "erase" in grant.rights
    person = Named(grant.person.id, grant.person.name) if grant.person else None
    talks = ports.assistants() if "ask" in grant.rights and grant.limits.instances is None else ()
    within = grant.limits.instances is None and grant.limits.definitions is None
    remembers = ports.has_memory and within and "read" in grant.rights
    told = (named, person, sorted(grant.rights), talks, remembers)
    return Me(grant.role, erases, ports.has_asks, guarded, diagrams, SAVED_AS, *told)


@router.get("/instances/{instance_id}/thread", response_model=Page[Shown])
async def instance_thread(part: Part, ports: Ports, instance_id: Id, activity: Text = None) -> Response:
    """What was said in a process instance, ready to be shown."""
    found(await ports.conversations.instance(instance_id, within=part.grant.limits))
    return await shown(await part.read(ports.conversations, MessageFilter(instance=instance_id, activity_id=activity)))


@router.get("/sessions/{session_id}/thread", response_model=Page[Shown])
async def session_thread(part: Part, ports: Ports, session_id: Id) -> Response:
    """What was said in a conversation, ready to be shown."""
    found(await ports.conversations.session(session_id, within=part.grant.limits))
    return await shown(await part.read(ports.conversations, MessageFilter(session_id)))


@router.get("/instances/{instance_id}/activities")
async def instance_activities(grant: MayRead, ports: Ports, instance_id: Id) -> Sequence[ActivityCounts]:
    """Activities of a process instance at which assistants spoke, with sums."""
    found(await ports.conversations.instance(instance_id, within=grant.limits))
    return await ports.conversations.activities(instance_id, within=grant.limits)


async def page() -> Response:
    """The page, which looks at its own address."""
    return FileResponse(FILES / "index.html", media_type="text/html", headers={"Cache-Control": "no-cache"})


for _path in VIEWS:
    views.add_api_route(_path, page, include_in_schema=False, response_class=Response)


class _Files(StaticFiles):
    """Files that a browser asks for again each time, and mostly hears that they are the same."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _add_files(application: FastAPI, vendor: Path) -> None:
    otherwise = application.exception_handlers[HTTPException]

    async def nowhere(request: Request, exc: Exception) -> Response:
        """Say to people on the page that there is nothing here, and to all others in the way of the API."""
        path, accepts = request.url.path, request.headers.get("accept", "")
        if path.startswith("/api/") or "text/html" not in accepts:
            told: Response = await otherwise(request, exc)  # type: ignore[misc] # it is a coroutine function
            return told
        response = await page()
        response.status_code = 404
        return response

    application.add_exception_handler(404, nowhere)
    application.router.routes.extend(views.routes)
    application.mount("/static", _Files(directory=FILES))
    if vendor.is_dir():
        application.mount("/vendor", _Files(directory=vendor))
