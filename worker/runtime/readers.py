"""Who reads: people beside the work have a few places, each of them fewer, however much they ask at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from weakref import WeakValueDictionary

READER: ContextVar[str] = ContextVar("reader", default="")
"""For whom what runs now is done, as the API counts requests; empty for the worker's own work."""
PLACES = 5
"""Of all people together."""
PLACES_EACH = 2
WAIT_SECONDS = 10.0


class Readers:
    """Places for one loop. The worker's own work needs none."""

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(PLACES)
        self._each = WeakValueDictionary[str, asyncio.Semaphore]()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Have a place inside, if it is for somebody. Not within another one. Raises TimeoutError if none gets free."""
        if not (who := READER.get()):
            yield
            return
        own = self._each.setdefault(who, asyncio.Semaphore(PLACES_EACH))
        async with asyncio.timeout(WAIT_SECONDS):
            await own.acquire()
            try:
                await self._all.acquire()
            except BaseException:
                own.release()
                raise
        try:
            yield
        finally:
            self._all.release()
            own.release()
