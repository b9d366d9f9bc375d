"""What operators have stopped, as this worker knows it: no call of it starts, and what runs may be broken off."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

import structlog

from worker.domain.stops import KINDS, Kind, Stop, Stops, Work
from worker.errors import BrokenOff, StoppedByOperator, WorkerError
from worker.ports.stops import StopBook
from worker.telemetry import metrics
from worker.telemetry.logs import Event

LOOK_SECONDS = 2.0
"""Between two looks. With the longest that Redis may take for one, every worker knows of a stop within 5 s."""

T = TypeVar("T")

log = structlog.get_logger()


class Stopped:
    """The stops as they were last read; while Redis is away those hold. Until the first look nothing is started."""

    def __init__(self, book: StopBook) -> None:
        self._book = book
        self._stops: Stops | None = None
        self._unread = "what operators have stopped was not read yet"
        self._looking = asyncio.Lock()
        self._open = asyncio.Event()
        self._running: dict[asyncio.Timeout, Work] = {}

    async def watch(self) -> None:
        """Look every few seconds; ends when it is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Read what is stopped, one look after the other, so that the newest counts."""
        async with self._looking:
            try:
                stops = await self._book.read()
            except WorkerError as exc:
                self._unread = f"what operators have stopped cannot be read: {exc}"
                return
            _tell(self._stops or Stops(), stops)
            self._stops = stops
        if self.reasons():
            self._open.clear()
        else:
            self._open.set()
        self._break_off()

    async def stop(self, stop: Stop) -> None:
        """Order a stop, for all workers. Raises StoreDown, StopOfOthers."""
        await self._book.stop(stop)
        await self.look()

    async def lift(self, kind: Kind, name: str, *, limited: bool = False) -> bool:
        """Lift a stop, for all workers; False if there was none. Raises StoreDown, StopOfOthers."""
        lifted = await self._book.lift(kind, name, limited=limited)
        await self.look()
        return lifted

    async def until_open(self) -> None:
        """Return when not everything is stopped."""
        await self._open.wait()

    def known(self) -> Sequence[Stop]:
        """Return all that is stopped."""
        return self._stops.known if self._stops else ()

    def lines(self) -> list[str]:
        """Say for everybody what is stopped, a line each, and how much this version cannot read."""
        ignored = len(self._stops.ignored) if self._stops else 0
        unread = [f"stops that this worker cannot read, and does not obey: {ignored}"] if ignored else []
        return [each.public for each in self.known()] + unread

    def reasons(self) -> list[str]:
        """Say for everybody why nothing at all is fetched."""
        return [self._unread] if self._stops is None else [each.public for each in self.known() if each.kind == "all"]

    def topic(self, name: str) -> bool:
        """Whether this topic is stopped."""
        return any(each.kind == "topic" and each.name == name for each in self.known())

    def provider(self, name: str) -> Stop | None:
        """Return what has stopped this provider, None if nothing has."""
        return next((each for each in self.known() if each.kind == "provider" and each.name == name), None)

    def check(self, work: Work) -> None:
        """Return if a call may start for this work. Raises StoppedByOperator."""
        for each in self.known():
            if each.concerns(work):
                raise StoppedByOperator(str(each))

    async def breaking_off(self, work: Work, call: Awaitable[T]) -> T:
        """Return what the call does; break it off when its work is stopped with `now`. Raises BrokenOff."""
        # It may have been stopped since it was checked: then the call ends where it first waits.
        limit = asyncio.timeout(asyncio.get_running_loop().time() if self._cause(work) else None)
        try:
            async with limit:
                self._running[limit] = work
                try:
                    return await call
                finally:
                    self._running.pop(limit, None)
        except TimeoutError:
            if limit.expired():
                raise BrokenOff(f"the call was broken off: {self._cause(work)}") from None
            raise

    def _break_off(self) -> None:
        at_once = asyncio.get_running_loop().time()
        for limit, work in list(self._running.items()):
            if self._cause(work):
                # A timeout that has begun to expire cannot be moved, and the next look would try to.
                del self._running[limit]
                limit.reschedule(at_once)

    def _cause(self, work: Work) -> Stop | None:
        return next((each for each in self.known() if each.now and each.concerns(work)), None)


def _tell(before: Stops, after: Stops) -> None:
    for kind in KINDS:
        metrics.STOPPED.labels(kind).set(sum(each.kind == kind for each in after.known))
    for each in after.known:
        if each not in before.known:
            by = {"by": each.by, "reason": each.reason, "now": each.now}
            log.warning(Event.STOP_SEEN, kind=each.kind, name=each.name, **by)
    still = {(each.kind, each.name) for each in after.known}
    for each in before.known:
        if (each.kind, each.name) not in still:
            log.warning(Event.STOP_LIFTED, kind=each.kind, name=each.name)
    for line in after.ignored:
        if line not in before.ignored:
            log.warning(Event.STOP_IGNORED, reason=line)
