"""What is stopped, for tests of what shows it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from worker.domain.stops import Kind, Stop
from worker.errors import StopOfOthers, StoreDown


@dataclass(slots=True)
class Board:
    """Stops that no worker looks at; Redis may be `away`."""

    stops: list[Stop] = field(default_factory=list)
    away: bool = False

    def known(self) -> Sequence[Stop]:
        return tuple(self.stops)

    async def stop(self, stop: Stop) -> None:
        self._taken(stop.kind, stop.name, limited=stop.limited)
        self.stops.append(stop)

    async def lift(self, kind: Kind, name: str, *, limited: bool = False) -> bool:
        return self._taken(kind, name, limited=limited)

    def _taken(self, kind: Kind, name: str, *, limited: bool) -> bool:
        if self.away:
            raise StoreDown("Redis is away")
        there = [each for each in self.stops if (each.kind, each.name) == (kind, name)]
        if limited and any(not each.limited for each in there):
            raise StopOfOthers("somebody without limits has stopped it")
        self.stops = [each for each in self.stops if each not in there]
        return bool(there)
