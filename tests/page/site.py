"""The page as people get it: the real API on a real SQLite file, in a real browser."""

import os
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request, WebSocket, async_playwright, expect

from tests.api.client import NO_CALLS
from tests.api.test_tickets import Kept
from tests.browser import BrowserError, browser
from tests.fakes.board import Board
from tests.fakes.decisions import FakeSources
from tests.fakes.engine import World
from tests.fakes.following import FakeTasks, FakeWindows
from tests.fakes.heart import FakeHeartbeat
from tests.records import START
from worker.chat.trying import Trying
from worker.chat.visiting import Visiting
from worker.demo import npm
from worker.domain.processes import Incident, Moved, Process, Result, Step
from worker.errors import EngineDenied, EngineDown, TaskLost
from worker.transcript import (
    Database,
    SqlDecisions,
    SqlFeedback,
    SqlTranscriptReader,
    SqlTranscriptWriter,
    SqlVisits,
    open_database,
)
from worker.web import page as pages
from worker.web.api import (
    Access,
    Client,
    Persons,
    TicketOffice,
    app,
    deciding,
    rating,
    serve,
    stopping,
    ticketing,
    visiting,
)
from worker.web.api.routing import Extension
from worker.web.feeds import Feeds, following, sockets
from worker.web.page import Processes, State
from worker.web.page.routes import VENDOR

PATIENCE_MS = 20_000
"""For what a browser does in moments, on a machine that has much else to do."""
DECISION = Path(__file__).parents[2] / "bpmn" / "decision" / "decision.bpmn"


def process(instance: str, **others: Any) -> Process:
    """An instance of the model, as an engine knows it."""
    facts: dict[str, Any] = {
        "id": instance,
        "definition_id": "decision:1:4711",
        "definition_key": "decision",
        "definition_version": 1,
        "business_key": f"order-{instance[-1]}",
        "tenant": None,
        "started_at": START,
        "is_active": True,
    }
    return Process(**facts | others)


@dataclass(slots=True)
class Deployed:
    """An engine that has one model and tells given states; None for what it does not have, or does not `let` see.

    It knows instances whose ids begin with `instance-`, and runs them unless `runs` says else.
    """

    model: str | None = None
    states: Mapping[str, State] | None = None
    let: bool = True
    runs: Mapping[str, bool] | None = field(default_factory=dict)
    asked: int = 0
    looked: int = 0
    tasks: Sequence[Step] = ()
    outcome: Sequence[Result] = ()
    started: Sequence[Process] = ()
    wrong: Sequence[Incident] = ()
    titles: Mapping[tuple[str, str | None], str] = field(default_factory=dict)
    last_move: Moved | None = None

    async def xml(self, definition_id: str) -> str:
        if self.model is None:
            raise TaskLost(definition_id)
        return self.model

    async def activity_states(self, instance_id: str) -> Mapping[str, State]:
        if self.states is None:
            raise self._no(instance_id)
        return self.states

    async def running(self, ids: Collection[str]) -> Mapping[str, bool]:
        self.asked += 1
        if self.runs is None:
            raise self._no("running")
        return {each: self.runs[each] for each in ids if each in self.runs}

    async def failing(self, ids: Collection[str]) -> AbstractSet[str]:
        return {each.instance for each in self.wrong} & set(ids)

    async def processes(self, ids: Collection[str]) -> Mapping[str, Process]:
        self.looked += 1
        if self.runs is None:
            raise self._no("processes")
        known = {each.id: each for each in self.started}
        found = [known.get(each, process(each)) for each in ids if each.startswith("instance-") or each in known]
        return {each.id: replace(each, is_active=self.runs.get(each.id, True)) for each in found}

    async def steps(self, _: str) -> Sequence[Step]:
        return self.tasks

    async def moved(self, _: str) -> Moved | None:
        return self.last_move

    async def results(self, _: str) -> Sequence[Result]:
        return self.outcome

    async def going_on(self, keys: Collection[str]) -> Sequence[Process]:
        if self.runs is None:
            raise self._no("going on")
        return [each for each in self.started if each.definition_key in keys and self.runs.get(each.id, True)]

    async def incidents(self, _: Collection[str]) -> Sequence[Incident]:
        return self.wrong

    async def names(self) -> Mapping[tuple[str, str | None], str]:
        return self.titles

    def _no(self, what: str) -> EngineDown:
        return (EngineDown if self.let else EngineDenied)(what)


async def definitions() -> Collection[str]:
    """The keys of the models with tasks for assistants."""
    return {"decision", "drones"}


@dataclass(frozen=True, slots=True)
class Site:
    """Where the page is, and what fills its record. `windows`, `tasks` and `trouble` are what its feeds look at.

    `trouble` says of assistants why they cannot be asked.
    """

    url: str
    transcript: SqlTranscriptWriter
    errors: list[Exception]
    board: Board
    windows: FakeWindows
    tasks: FakeTasks
    trouble: dict[str, str]


@asynccontextmanager
async def site(
    folder: Path,
    processes: Processes,
    *,
    tokens: str = "",
    can_erase: bool = False,
    has_asks: bool = False,
    left_out: Sequence[str] = (),
    extend: Sequence[Extension] = (),
    frames: Sequence[str] = (),
    port: int = 0,
    vendor: Path = VENDOR,
    persons: Persons | None = None,
    client: Client | None = None,
    with_sockets: bool = True,
    most_feeds: int = 500,
) -> AsyncIterator[Site]:
    """Serve the page; the transcript is empty."""
    async with (
        open_database(f"sqlite:///{folder}/record.db") as database,
        site_on(
            database,
            processes,
            tokens=tokens,
            can_erase=can_erase,
            has_asks=has_asks,
            left_out=left_out,
            extend=extend,
            frames=frames,
            port=port,
            vendor=vendor,
            persons=persons,
            client=client,
            with_sockets=with_sockets,
            most_feeds=most_feeds,
        ) as served,
    ):
        yield served


@asynccontextmanager
async def site_on(
    database: Database,
    processes: Processes,
    *,
    tokens: str = "",
    can_erase: bool = False,
    has_asks: bool = False,
    left_out: Sequence[str] = (),
    extend: Sequence[Extension] = (),
    frames: Sequence[str] = (),
    port: int = 0,
    vendor: Path = VENDOR,
    persons: Persons | None = None,
    client: Client | None = None,
    with_sockets: bool = True,
    most_feeds: int = 500,
    assistants: Sequence[str] = (),
    has_memory: bool = False,
) -> AsyncIterator[Site]:
    """Serve the page over a record."""
    errors: list[Exception] = []
    board = Board()
    conversations = SqlTranscriptReader(database)
    page = pages.routes(
        conversations,
        processes,
        engine_name="default",
        can_erase=can_erase,
        has_asks=has_asks,
        left_out=lambda: left_out,
        definitions=definitions,
        assistants=lambda: assistants,
        has_memory=has_memory,
        vendor=vendor,
    )
    office = TicketOffice(Kept())
    access = Access.of(tokens, persons, office)
    windows, tasks, trouble = FakeWindows(), FakeTasks(), dict[str, str]()
    visits = SqlVisits(database, engine="default")
    here = Visiting(visits, FakeHeartbeat())
    feeds = Feeds(
        conversations,
        windows,
        engine="default",
        tasks=tasks,
        assistants=lambda: ["analyst"],
        trouble=trouble.get,
        most=most_feeds,
        most_each=most_feeds,
        visiting=here,
    )
    book = SqlDecisions(database, engine="default")
    served = app(
        conversations,
        NO_CALLS,
        access,
        report=errors.append,
        extend=[
            page,
            stopping(board, {"assistant": ["analyst"]}),
            rating(conversations, SqlFeedback(database)),
            ticketing(office),
            deciding(book, FakeSources(World()), Trying(book)),
            visiting(visits, conversations),
            following(feeds, access),
            *([sockets(feeds, access)] if with_sockets else []),
            *extend,
        ],
        frame_ancestors=frames,
        client=client,
    )
    async with here, feeds, serve(served, "127.0.0.1", port) as taken:
        url, transcript = f"http://127.0.0.1:{taken}", SqlTranscriptWriter(database)
        try:
            yield Site(url, transcript, errors, board, windows, tasks, trouble)
        finally:
            feeds.close()


@dataclass(slots=True)
class Watched:
    """A browser's page, and everything that it did beside showing itself."""

    page: Page
    requests: list[str] = field(default_factory=list)
    sockets: list[WebSocket] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def listen(self) -> None:
        def console(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                self.complaints.append(message.text)

        def request(asked: Request) -> None:
            self.requests.append(asked.url)

        def socket(opened: WebSocket) -> None:
            self.sockets.append(opened)

        async def dialog(shown: object) -> None:
            self.dialogs.append(str(shown))
            await shown.dismiss()  # type: ignore[attr-defined] # playwright's Dialog

        self.page.on("console", console)
        self.page.on("request", request)
        self.page.on("websocket", socket)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", dialog)

    def foreign(self, url: str) -> list[str]:
        """Requests to anywhere else than the site."""
        own = (f"{url}/", f"blob:{url}", f"{url.replace('http', 'ws', 1)}/")
        return [each for each in [*self.requests, *(each.url for each in self.sockets)] if not each.startswith(own)]

    @property
    def open_sockets(self) -> int:
        """How many sockets the page has now."""
        return len([each for each in self.sockets if not each.is_closed()])


def chromium() -> Path:
    """Where the browser is; tests fail without one."""
    # Playwright's own Node.js wants a library that a bare system lacks.
    if node := npm.node():
        os.environ.setdefault("PLAYWRIGHT_NODEJS_PATH", str(node))
    try:
        return browser()
    except BrowserError as exc:
        raise pytest.fail.Exception(str(exc), pytrace=False) from None


@asynccontextmanager
async def browsing(**options: object) -> AsyncIterator[BrowserContext]:
    """A browser without a past. Its own sandbox does not work as root, and shows only what we serve."""
    path = chromium()
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        chrome = await playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            context = await chrome.new_context(**options)  # type: ignore[arg-type] # a few of its many
            context.set_default_timeout(PATIENCE_MS)
            yield context
        finally:
            await chrome.close()


async def watch(context: BrowserContext) -> Watched:
    """Open a new page, and write down what it does."""
    watched = Watched(await context.new_page())
    watched.listen()
    return watched
