"""What is kept for a moment, to be taken once."""

from datetime import timedelta
from typing import Protocol


class Tickets(Protocol):
    """Any worker may take what any other one keeps. Both methods may raise StoreDown."""

    async def keep(self, name: str, text: str, life: timedelta) -> None:
        """Keep a text for so long."""
        ...

    async def take(self, name: str) -> str | None:
        """Take a text away; None if there is none, or none any more. After a lost reply it may be gone."""
        ...
