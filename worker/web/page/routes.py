"""The page's files, and the routes below /api that only it needs."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

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
from worker.web.api import problems
from worker.web.api.grants import Known, MayRead
from worker.web.api.routes import Id, Part, Text, found
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
) -> Callable[[FastAPI], None]:
    """Make the extension of the API's application that serves the page.

    `engine_name` is the engine that `processes` asks: of instances of others nothing is asked, their ids may be taken
    there. `can_erase`: there is a route that erases. `has_asks`: there are those where people ask back. `left_out` says
    what the worker does not serve, `definitions` the keys of those with tasks of ours. `assistants` can be talked to
    beside all processes. `has_memory`: there are the routes by which people see what is remembered.
    """

    def extend(application: FastAPI) -> None:
        router = APIRouter()
        offers = {"can_erase": can_erase, "has_asks": has_asks, "has_memory": has_memory}
        _add_me(router, **offers, left_out=left_out, assistants=assistants, vendor=vendor)
        _add_reading(router, conversations)
        watching = Watching(processes, definitions)
        listing.add(router, conversations, Standing(processes), watching, engine_name)
        following.add(router, conversations, processes, watching, engine_name)
        documented = problems.documented(401, 403, 404, 422, 429, 503)
        application.include_router(router, prefix="/api", responses=documented)
        _add_files(application, vendor)

    return extend


def _add_me(
    router: APIRouter,
    *,
    can_erase: bool,
    has_asks: bool,
    has_memory: bool,
    left_out: Callable[[], Sequence[str]],
    assistants: Callable[[], Sequence[str]],
    vendor: Path,
) -> None:
    @router.get("/me")
    async def me(grant: Known) -> Me:
        """Who asks, and what they may do."""
        diagrams = (vendor / "bpmn-js" / "viewer.js").is_file()
        guarded = not grant.is_local
        named = left_out() if "read" in grant.rights and not grant.limits.hides_processes else ()
        erases = can_erase and "erase" in grant.rights
        person = Named(grant.person.id, grant.person.name) if grant.person else None
        talks = assistants() if "ask" in grant.rights and grant.limits.instances is None else ()
        within = grant.limits.instances is None and grant.limits.definitions is None
        remembers = has_memory and within and "read" in grant.rights
        told = (named, person, sorted(grant.rights), talks, remembers)
        return Me(grant.role, erases, has_asks, guarded, diagrams, SAVED_AS, *told)


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


class _Files(StaticFiles):
    """Files that a browser asks for again each time, and mostly hears that they are the same."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _add_files(application: FastAPI, vendor: Path) -> None:
    async def page() -> Response:
        return FileResponse(FILES / "index.html", media_type="text/html", headers={"Cache-Control": "no-cache"})

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
    for path in VIEWS:
        application.add_api_route(path, page, include_in_schema=False, response_class=Response)
    application.mount("/static", _Files(directory=FILES))
    if vendor.is_dir():
        application.mount("/vendor", _Files(directory=vendor))
