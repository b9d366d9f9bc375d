"""Where workers tell each other that a provider cannot be asked."""

from typing import Protocol

from worker.domain.outages import Found, Outage


class Outages(Protocol):
    """Those of one provider, as this worker sees them. Methods may raise StoreDown, and may be repeated."""

    worker: str
    """Who this is, among all workers."""

    async def look(self, *, probes: bool) -> Outage | None:
        """Return the outage that is known, if any. Who `probes` becomes its prober if nobody is, and stays it."""
        ...

    async def note(self, found: Found, reason: str, tries: int) -> Outage | None:
        """Note an outage unless one is known, and be its prober if nobody is; return what is known."""
        ...

    async def failed(self, found: Found, reason: str, tries: int) -> None:
        """Note a probe in vain, and leave the next one to another worker, if there is another."""
        ...

    async def over(self) -> None:
        """Note that the provider can be asked."""
        ...
