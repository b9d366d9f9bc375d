"""What version of the worker a store is of."""

from typing import Protocol


class Format(Protocol):
    """The format of what one store keeps for our engine, see `domain.formats`."""

    async def check(self) -> None:
        """Return if it is ours, and note ours where it is lower. Raises NewerFormat."""
        ...
