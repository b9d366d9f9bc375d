"""Where it is kept what is used of budgets."""

from collections.abc import AsyncIterator
from datetime import date
from typing import Protocol

from worker.domain.budgets import Counter, Scope, Usage


class BudgetBook(Protocol):
    """All workers of one engine share it. Every method may raise StoreDown, and may be repeated after a lost reply."""

    async def today(self) -> date:
        """Return the day for which is counted, in UTC and by the clock that all workers share."""
        ...

    async def charge(self, counter: Counter, call: str, most: Usage) -> tuple[bool, Usage]:
        """Count all that a call may take as used, before it starts; False, and nothing counted, if it is too much.

        The call's id is for all counters the same, and never comes twice. Returns what is used then, too.
        """
        ...

    async def correct(self, counter: Counter, call: str, tokens: int | None, billionths: int | None) -> None:
        """Put what a call took in the place of what it was charged for; None: that is not known, and stays."""
        ...

    def counted(self, scope: Scope, currency: str) -> AsyncIterator[tuple[Counter, Usage]]:
        """Find all that anything is counted for, without their limits, and what is used of each in this currency."""
        ...

    async def used(self, counter: Counter) -> Usage:
        """Return what is used, with all that calls may still take that run."""
        ...
