"""Seats for calls at one account of a provider, of which there are so many at once and a minute for all workers."""

from datetime import timedelta
from typing import Protocol


class Seats(Protocol):
    """Every method may raise StoreDown, and may be repeated after a lost reply with the same effect."""

    async def take(self, task_id: str, instance: str, token: str, tokens: int) -> timedelta | None:
        """Take a seat for a call of about so many tokens of text, by a random token; or say when to come again.

        A seat is kept for the task until then, if it is not too far away: so nobody who waits has to come often, and no
        process instance with many tasks shuts out one with few.
        """
        ...

    async def renew(self, token: str) -> bool:
        """Keep a seat for another lease; False if there is none."""
        ...

    async def settle(self, token: str, calls: int, tokens: int | None) -> None:
        """Give a seat back, and count what it was used for; `tokens` None: as was thought."""
        ...

    async def close(self, wait: timedelta) -> None:
        """Have nobody take a seat for so long."""
        ...
