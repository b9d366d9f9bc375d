"""What is stopped, for tests of what shows it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from worker.domain.stops import Kind, Stop
from worker.errors import StoreDown


@dataclass(slots=True)
class Board:
    """Stops that no worker looks at; Redis may be `away`."""

    stops: list[Stop] = field(default_factory=list)
    away: bool = False

    def known(self) -> Sequence[Stop]:
        return tuple(self.stops)

    async def stop(self, stop: Stop) -> None:
        self._reach()
        self.stops.append(stop)

    async def lift(self, kind: Kind, name: str) -> bool:
        self._reach()
        there = [each for each in self.stops if (each.kind, each.name) == (kind, name)]
        self.stops = [each for each in self.stops if each not in there]
        return bool(there)

    def _reach(self) -> None:
        if self.away:
            raise StoreDown("Redis is away")
