"""How many turns run at once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from worker.telemetry import metrics

MOST_AHEAD = 50
MOST_HELD = 64 * 1024 * 1024
"""Bytes of tasks in hand from which on no more are fetched: each poll is bounded, but not how many there are."""


class Slots:
    """A slot is a running turn, up to its answer. Deliveries need none, but too many of them stop the fetching.

    In a backlog a few tasks more than slots are welcome, a fifth: they wait here, under their locks, and a slot that
    becomes free has the next one at once instead of after a poll.
    """

    def __init__(self, size: int, shown: metrics.Places = metrics.TURN_PLACES) -> None:
        self.size = size
        self._shown = shown
        self._ahead = min(size // 5, MOST_AHEAD)
        self._running = asyncio.Semaphore(size)
        self._wanted = 0
        self._kept = self._leaving = 0
        self._delivering = 0
        self._held = 0
        self._changed = asyncio.Event()
        shown.most.set(size)

    @property
    def free(self) -> int:
        """How many more tasks get a slot at once."""
        return self.welcome(backlog=False)

    def welcome(self, *, backlog: bool) -> int:
        """How many more tasks are welcome; `backlog` says that more of them wait at the engine."""
        # Where all are kept nobody knows whether one ever becomes free: what were fetched would wait under its lock.
        places = self.size + self._ahead * (backlog and self._kept < self.size)
        is_full = self._delivering >= self.size or self._held >= MOST_HELD
        return 0 if is_full else max(0, places - self._wanted)

    def hold(self, size: int) -> None:
        """Count so many bytes more, or less where it is negative, of tasks in hand."""
        self._held += size
        self._changed.set()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Have a slot, first come first served."""
        self._wanted += 1
        try:
            # Counted as wanted before it has one: who waits takes the place of a task that would be fetched.
            await self._running.acquire()
            self._shown.used.inc()
            try:
                yield
            finally:
                if self._leaving:
                    self._leaving -= 1
                else:
                    self._release()
        finally:
            self._wanted -= 1
            self._changed.set()

    def keep(self) -> Callable[[], None]:
        """Leave the slot of a turn that ends to what goes on of it; call what is returned when that is over."""
        self._wanted += 1
        self._kept += 1
        self._leaving += 1

        def over() -> None:
            self._release()
            self._wanted -= 1
            self._kept -= 1
            self._changed.set()

        return over

    def _release(self) -> None:
        self._shown.used.dec()
        self._running.release()

    @asynccontextmanager
    async def delivery(self) -> AsyncIterator[None]:
        """Count as a delivery."""
        self._delivering += 1
        try:
            yield
        finally:
            self._delivering -= 1
            self._changed.set()

    async def some_welcome(self, *, backlog: bool) -> None:
        """Return as soon as a task is welcome."""
        while not self.welcome(backlog=backlog):
            self._changed.clear()
            await self._changed.wait()

    def close(self) -> None:
        """Let everybody in who waits: nothing new is started, and they are to hear of it now."""
        for _ in range(self._wanted):
            self._running.release()
