"""Who is at which session at this worker: written down beside the feeds, which neither wait for that nor hear of it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final, Self
from uuid import uuid4

import structlog

from worker.domain.people import Person
from worker.domain.visits import Stay
from worker.errors import StoreDown, TranscriptDown, WorkerError
from worker.ports.visits import Heartbeat, VisitBook
from worker.runtime import background
from worker.runtime.clock import monotonic
from worker.runtime.pauses import set_within
from worker.telemetry import metrics
from worker.telemetry.logs import Event, trace

BEAT_SECONDS: Final = 10.0
"""Between two beats: a third of the time within which a worker is heard of."""
GATHER_SECONDS: Final = 0.5
"""Before visits are written that have just begun or ended: many feeds come and go together."""
LAST_WORD_SECONDS: Final = 1.5
"""What it may take to write at the end who has left by it."""
MOST_UNWRITTEN: Final = 10_000
"""Visits that are over and remembered while they cannot be written."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Here:
    id: str
    session_id: str
    person: Person
    began: float
    ended: float | None = None
    is_written: bool = False

    def told(self, now: float) -> Stay:
        ended = None if self.ended is None else timedelta(seconds=now - self.ended)
        began = timedelta(seconds=now - self.began)
        return Stay(self.id, self.session_id, self.person, not self.is_written, began, ended)


class Visiting:
    """Keeps up this worker's visits inside of its block, and ends those that nobody keeps up any more."""

    def __init__(self, book: VisitBook, heartbeat: Heartbeat) -> None:
        self._book = book
        self._heartbeat = heartbeat
        self._here: dict[str, _Here] = {}
        self._news = asyncio.Event()
        self._is_told = False
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Begin."""
        # Apart: a database that is slow must not let others take this worker for gone.
        for name, work in (("heartbeat", self._live()), ("visits", self._work())):
            await self._stack.enter_async_context(background.running(work, name))
        return self

    async def __aexit__(self, *_: object) -> None:
        """End all that are here, as far as that can be said at once; the rest others end."""
        await self._stack.aclose()
        for each in self._here.values():
            each.ended = monotonic() if each.ended is None else each.ended
        with suppress(WorkerError, TimeoutError):
            async with asyncio.timeout(LAST_WORD_SECONDS):
                await self._write()
                await self._heartbeat.stop()

    @contextmanager
    def at(self, session_id: str, person: Person) -> Iterator[None]:
        """Have a person be at a session inside of the block. Nothing is waited for, and nothing raised."""
        here = _Here(uuid4().hex, session_id, person, monotonic())
        self._here[here.id] = here
        self._news.set()
        try:
            yield
        finally:
            here.ended = monotonic()
            self._news.set()

    async def _live(self) -> None:
        while True:
            with suppress(StoreDown):  # that it is away is somebody else's to notice
                await self._heartbeat.beat()
            await asyncio.sleep(BEAT_SECONDS)

    async def _work(self) -> None:
        due = monotonic()
        while True:
            await set_within(self._news, due - monotonic())
            await asyncio.sleep(GATHER_SECONDS)
            self._news.clear()
            is_due = monotonic() >= due
            if await self._tried(self._write if is_due else partial(self._write, news_only=True)) and is_due:
                await self._tried(self._close)
            if is_due:
                due = monotonic() + BEAT_SECONDS

    async def _write(self, *, news_only: bool = False) -> None:
        now = monotonic()
        some = [each for each in self._here.values() if not (news_only and each.is_written and each.ended is None)]
        told = [each.told(now) for each in some]
        await self._book.keep(self._heartbeat.name, told)
        for stay in told:
            if stay.is_new:
                metrics.VISITS.labels("opened").inc()
            if stay.ended is not None:
                del self._here[stay.id]
                metrics.VISITS.labels("closed").inc()
            else:
                self._here[stay.id].is_written = True

    async def _close(self) -> None:
        """End what nobody keeps up. Of a Redis that cannot be asked nobody hears who is gone."""
        others = set(await self._book.heartbeats()) - {self._heartbeat.name}
        gone = frozenset[str]()
        with suppress(StoreDown):
            gone = await self._heartbeat.gone(others)
        left = await self._book.close(gone)
        metrics.VISITS.labels("lost").inc(left.lost)
        metrics.VISITS.labels("silent").inc(left.silent)

    async def _tried(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Do something; whether it could be done. Why not is said once, until it can be again."""
        try:
            await work()
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is nothing to those who read along
            # Where nobody is here, that the record is away is somebody else's to say.
            if not self._is_told and (self._here or not isinstance(exc, TranscriptDown)):
                self._is_told = True
                reason = str(exc) if isinstance(exc, TranscriptDown) else trace(exc)
                log.warning(Event.VISITS_NOT_WRITTEN, reason=reason)
            if len(self._here) > MOST_UNWRITTEN:
                self._here = {name: each for name, each in self._here.items() if each.ended is None}
            return False
        self._is_told = False
        return True
