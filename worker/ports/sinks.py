"""Where exchanges go to, and how they come there: from the journal, to each place by itself."""

from collections.abc import Collection
from datetime import timedelta
from typing import Protocol

from worker.domain.exchanges import Exchange, Pending


class Sink(Protocol):
    """A place that every exchange comes to, such as the transcript. Every method may raise SinkDown.

    Its name is its address in Redis: one that comes later gets what is answered from then on, and what one has not got
    is gone a week after the worker has stopped knowing of it.
    """

    name: str

    async def record(self, *exchanges: Exchange) -> None:
        """Take them; returns when they are safe. Each may come more than once, late and out of order.

        What has come under the same engine, task and attempt stays as it is. Raises Unstorable if there is one among
        them that it will never take; then each comes again by itself.
        """
        ...

    async def ping(self) -> None:
        """Return if it can be used."""
        ...


class Outbox(Protocol):
    """What each sink has yet to get. Every method may raise StoreDown."""

    async def hand_in(self, sink: str, exchange: Exchange, age: timedelta) -> bool:
        """Take an exchange whose answer came so long ago, when there was no telling Redis; from then on it is due.

        False if its thread was erased meanwhile: nobody is to have it. May be repeated. Raises NewerRecord, too.
        """
        ...

    async def claim(self, sink: str, most: int) -> list[Pending]:
        """Take turns that are due, the oldest first; unless they are settled they are due again half a minute later."""
        ...

    async def settle(self, pending: Pending, recorded: frozenset[int]) -> bool:
        """Forget the exchanges of these attempts, and the turn if nothing more can come of it.

        False if something more is to be had of it in a moment: it has been looked at while that was being written.
        """
        ...

    async def postpone(self, pending: Pending, by: timedelta) -> None:
        """Have the turn due again later."""
        ...

    async def backlog(self, sink: str) -> int:
        """How many turns wait to be settled."""
        ...

    async def has_any(self, sink: str, tasks: Collection[str]) -> bool:
        """Whether a turn of one of these tasks waits to be settled, or may."""
        ...


class Recording(Protocol):
    """What a turn tells of its exchange, once Redis has it or cannot have it. Never waits, never raises."""

    def wake(self) -> None:
        """Look at the outbox: there is something."""
        ...

    def keep(self, exchange: Exchange) -> None:
        """Take an exchange that Redis could not."""
        ...
