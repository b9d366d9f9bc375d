"""What workers with the same key tell each other of a provider: one finds it down, one probes it, all hear of it."""

import asyncio
from collections.abc import Awaitable, Callable

from worker.domain.outages import Found, Outage
from worker.errors import AnotherAccount, ProviderAway, ProviderPaused, StoreDown, WorkerError
from worker.ports.outages import Outages
from worker.runtime.clock import monotonic

LOOK_SECONDS = 2.0
"""Between two looks at what other workers have found."""
ALONE_SECONDS = 300.0
"""A worker keeps its troubles to itself for so long after another has ended an outage that it had found too.

Then it may be this worker's own way that is shut, and the others would stop with it, again and again."""


def found(error: Exception) -> Found | None:
    """Say what others are told of an error; None for what is this worker's own trouble, such as a missed account."""
    if isinstance(error, AnotherAccount) or not isinstance(error, WorkerError):
        return None
    return "paused" if isinstance(error, ProviderPaused) else "away"


def told(outage: Outage) -> Exception:
    """Say what this worker has to make of an outage."""
    text = f"{outage.reason} (found by {outage.by})"
    return ProviderPaused(text) if outage.found == "paused" else ProviderAway(text)


class Breaker:
    """One provider's. While Redis is away nobody hears of anybody, and each worker probes for itself."""

    def __init__(self, outages: Outages) -> None:
        self.tries = 0
        """How often all workers have probed in vain, in the last outage that is known."""
        self._outages = outages
        self._known: Outage | None = None
        self._blind = False
        self._probes = False
        self._told = False
        self._alone_until = 0.0
        self._speaking = asyncio.Lock()

    def use(self, outages: Outages) -> None:
        """Go by what is known of another key from now on."""
        self._outages = outages
        self._alone_until = 0.0
        self._end()

    async def look(self) -> Outage | None:
        """Return what is known now; the last that was known while Redis is away. Keeps the probe if it is ours."""
        await self._hear(lambda: self._outages.look(probes=self._probes))
        return self._known

    async def to_probe(self, error: Exception | None, tries: int) -> bool:
        """Return True when this worker is to probe, False as soon as no outage is known: another has ended it.

        `error` is what this worker itself has found, and is told to the others; None if it was told by them.
        """
        word = None if error is None else found(error)
        self.tries = tries
        # What may be this worker's own trouble it probes by itself: the others must not stop for it.
        if error is not None and (word is None or self._is_alone()):
            return True
        self._probes = True
        if word is not None:
            self._told = True
            await self._hear(lambda: self._outages.note(word, str(error), tries))
        else:
            await self.look()
        while not self._blind:
            if self._known is None:
                if self._told:
                    self._alone_until = monotonic() + ALONE_SECONDS
                self._end()
                return False
            if self._known.ours:
                return True
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()
        return True

    async def failed(self, error: Exception) -> None:
        """Note that our probe was in vain, and let another worker try."""
        known, self._probes = self._known, False
        if known is not None and known.ours:
            await self._say(lambda: self._outages.failed(found(error) or known.found, str(error), known.tries + 1))

    async def over(self) -> None:
        """Tell all that the provider can be asked. A note that stays as Redis is away ends by itself."""
        await self._say(self._outages.over)
        self._alone_until = 0.0
        self._end()

    def _is_alone(self) -> bool:
        """Whether what this worker finds now may be its own trouble; that it finds it again makes it last."""
        if monotonic() >= self._alone_until:
            return False
        self._alone_until = monotonic() + ALONE_SECONDS
        return True

    def _end(self) -> None:
        self._known, self._probes, self._told = None, False, False

    async def _hear(self, asking: Callable[[], Awaitable[Outage | None]]) -> None:
        # One after the other: an older answer that comes later would bring back an outage that is over.
        async with self._speaking:
            outages = self._outages
            try:
                known, blind = await asking(), False
            except StoreDown:
                known, blind = self._known, True
            if outages is self._outages:  # or it is of a key that has been replaced meanwhile
                self._known, self._blind = known, blind
        if self._known is not None:
            self.tries = self._known.tries

    async def _say(self, telling: Callable[[], Awaitable[None]]) -> None:
        async with self._speaking:
            try:
                await telling()
            except StoreDown:
                self._blind = True
