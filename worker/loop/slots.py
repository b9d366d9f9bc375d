"""How many turns run at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from worker.telemetry import metrics


class Slots:
    """A slot is a running turn, up to its answer. Deliveries need none, but too many of them stop the fetching."""

    def __init__(self, size: int) -> None:
        self.size = size
        metrics.SLOTS.set(size)
        self._running = asyncio.Semaphore(size)
        self._wanted = 0
        self._delivering = 0
        self._changed = asyncio.Event()

    @property
    def free(self) -> int:
        """How many more tasks are welcome."""
        return max(0, self.size - self._wanted) if self._delivering < self.size else 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Have a slot, first come first served."""
        self._wanted += 1
        try:
            async with self._running:
                metrics.IN_FLIGHT.inc()
                try:
                    yield
                finally:
                    metrics.IN_FLIGHT.dec()
        finally:
            self._wanted -= 1
            self._changed.set()

    @asynccontextmanager
    async def delivery(self) -> AsyncIterator[None]:
        """Count as a delivery."""
        self._delivering += 1
        try:
            yield
        finally:
            self._delivering -= 1
            self._changed.set()

    async def some_free(self) -> None:
        """Return as soon as a task is welcome."""
        while not self.free:
            self._changed.clear()
            await self._changed.wait()
