"""How many feeds may be open: so many at this worker, and so many of one person at all workers together."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from worker.errors import StoreDown
from worker.ports.admission import TOLD_WITHIN, FeedCounts
from worker.runtime.clock import monotonic
from worker.runtime.pauses import set_within
from worker.telemetry import metrics

BEAT_SECONDS: Final = TOLD_WITHIN.total_seconds() / 3
ALONE_SECONDS: Final = 5.0
"""For so long after a failure of Redis this worker counts alone, so that no feed waits for it."""
LAST_WORD_SECONDS: Final = 1.5


class TooMany(Exception):
    """One more feed than there may be; the text is for people."""


class Admission:
    """Counts feeds while they are open: `most` at this worker, and `most_each` of one person at all workers.

    `counts` know of the others'. Without `counts`, and while these cannot be asked, it counts alone.
    """

    def __init__(self, most: int, most_each: int, counts: FeedCounts | None) -> None:
        self._most, self._most_each = most, most_each
        self._counts = counts
        self._open = Counter[str]()
        self._shared = set[str]()
        """Persons of whose feeds other workers are told."""
        self._untold = set[str]()
        self._news = asyncio.Event()
        self._alone_until = float("-inf")
        self._beat_at = monotonic() + BEAT_SECONDS

    @asynccontextmanager
    async def admitted(self, person: str, *, shared: bool = True) -> AsyncIterator[None]:
        """Count a feed of this person's inside of the block, for other workers as well if it is `shared`.

        Raises TooMany.
        """
        if self._open.total() >= self._most:
            raise TooMany("So many feeds are open at this worker that there is no room for one more: try again later.")
        if self._open[person] >= self._most_each:
            raise self._too_many()
        self._open[person] += 1  # before anything is waited for
        metrics.FEEDS.inc()
        try:
            if shared and not await self._is_room(person):
                raise self._too_many()
            yield
        finally:
            metrics.FEEDS.dec()
            self._open[person] -= 1
            self._open += Counter()  # forgets who has none
            if person in self._shared:
                self._untold.add(person)
                self._news.set()

    def _too_many(self) -> TooMany:
        return TooMany(f"{self._most_each} feeds of yours are open: close one of them.")

    async def _is_room(self, person: str) -> bool:
        if self._counts is None:
            return True
        self._shared.add(person)
        if monotonic() < self._alone_until:
            return True
        try:
            return await self._counts.tell(person, self._open[person], self._most_each)
        except StoreDown:
            self._alone_until = monotonic() + ALONE_SECONDS
            return True

    async def until_due(self) -> None:
        """Wait until other workers are to be told something: soon of whoever has left, and of all at each beat."""
        await set_within(self._news, self._beat_at - monotonic())
        self._news.clear()
        if monotonic() >= self._beat_at:
            self._untold |= self._shared
            self._beat_at = monotonic() + BEAT_SECONDS

    async def close(self) -> None:
        """Tell others that this worker's are over, as far as that can be done at once; the rest lapses."""
        self._untold |= self._shared  # also of whom a word was broken off
        with suppress(StoreDown, TimeoutError):
            async with asyncio.timeout(LAST_WORD_SECONDS):
                await self.tell()

    async def tell(self) -> None:
        """Tell other workers. Raises StoreDown: then they are told at the next beat."""
        while self._counts is not None and self._untold:
            person = self._untold.pop()
            await self._counts.tell(person, self._open[person])
            if not self._open[person]:
                self._shared.discard(person)
