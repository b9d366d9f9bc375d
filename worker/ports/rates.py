"""How many requests somebody has made, counted for all workers together."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests at once, and so many per second in the long run."""

    burst: int = 200
    per_second: float = 50


class Rates(Protocol):
    """Counts requests by whoever makes them."""

    async def take(self, name: str, rate: Rate) -> timedelta:
        """Take one request; return how long to wait for it if there is none, else nothing. Raises StoreDown."""
        ...
