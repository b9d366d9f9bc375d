"""What workers with the same key tell each other of a memory that is down: one finds it, one tries again, all hear."""

import asyncio

import structlog

from worker.errors import MemoryDown, MemoryRefused
from worker.loop.breakers import LOOK_SECONDS
from worker.loop.breakers import Breaker as Told
from worker.ports.memory import Memory
from worker.ports.outages import Outages
from worker.runtime.breaker import OPEN_SECONDS, Breaker
from worker.runtime.clock import monotonic
from worker.telemetry.logs import Event, trace

log = structlog.get_logger()


class SharedMemory:
    """One memory that is apart, as all workers know it. `breaker` is the one that its requests go by.

    Nobody who asks waits for Redis: what others have found is looked at beside, and while Redis is away each worker
    goes by what it finds itself.
    """

    def __init__(self, memory: Memory, breaker: Breaker, outages: Outages) -> None:
        self._memory = memory
        self._breaker = breaker
        self._told = Told(outages)

    async def watch(self) -> None:
        """Hear, and tell, until it is cancelled."""
        while True:
            try:
                await self._look()
            except Exception as exc:  # noqa: BLE001 - it goes on as if it were alone
                log.error(Event.MEMORY_CRASHED, trace=trace(exc))
                self._breaker.free()
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        is_found = self._breaker.is_open
        known = await self._told.look()
        if not is_found and known is None:
            return
        error = MemoryDown(f"{self._memory.name} gives no answer, or asks to be left alone") if is_found else None
        self._breaker.hold()
        while await self._told.to_probe(error, self._told.tries):
            if await self._answers():
                await self._told.over()
                break
            self._breaker.hold()
        self._breaker.free()

    async def _answers(self) -> bool:
        """Try again when it is time, before all others; whoever asks here meanwhile may be who does."""
        # A probe in vain was another worker's, mostly: this one's comes as much later as its own next would.
        pause = OPEN_SECONDS if self._told.tries else 0.0
        until = monotonic() + max(self._breaker.wait_seconds, pause)
        while (left := until - monotonic()) > 0:
            await asyncio.sleep(min(left, LOOK_SECONDS))
            await self._told.look()  # or another one would take over
        self._breaker.half_open()
        try:
            await self._memory.check()
        except MemoryDown as exc:
            # Who went first in our place has been answered, or is about to be.
            if not self._breaker.is_open:
                return True
            await self._told.failed(exc)
            return False
        except MemoryRefused:  # that is an answer
            return True
        return True
