"""Where workers tell each other that they live, and which assistants they have."""

from collections.abc import Collection
from datetime import timedelta
from typing import Protocol

from worker.domain.fleet import Member

REMEMBERED = timedelta(minutes=10)
"""How long a worker is known that is not heard of any more, and how long an assistant's version is waited for."""


class Presence(Protocol):
    """All workers of one engine share it. Every method may raise StoreDown, and may be repeated after a lost reply."""

    async def show(self, version: str, assistants: Collection[tuple[str, str]]) -> None:
        """Say that this worker lives, and what it has."""
        ...

    async def workers(self, within: timedelta = REMEMBERED) -> list[Member]:
        """Return the workers that were heard of within this time, of REMEMBERED at most; this one among them."""
        ...

    async def wanted(self, name: str, version: str) -> timedelta:
        """Note that a task wants this assistant, which no worker has; return since when one has wanted it.

        It is forgotten after three times REMEMBERED.
        """
        ...
