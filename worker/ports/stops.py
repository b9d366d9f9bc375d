"""Where it is kept what operators have stopped."""

from typing import Protocol

from worker.domain.stops import Kind, Stop, Stops


class StopBook(Protocol):
    """All workers of one engine read it. Every method may raise StoreDown, and may be repeated after a lost reply."""

    async def read(self) -> Stops:
        """Return what is stopped now."""
        ...

    async def stop(self, stop: Stop) -> None:
        """Note a stop, in the place of an earlier one of the same. Raises StopOfOthers, see `Stop.limited`."""
        ...

    async def lift(self, kind: Kind, name: str, *, limited: bool = False) -> bool:
        """Take a stop away; False if there was none. Raises StopOfOthers where who asks is `limited` and it is not."""
        ...
