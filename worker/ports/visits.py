"""Where it is kept who is at which session, and by what workers know of each other that they keep it up."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Protocol

from worker.domain.people import Person
from worker.domain.visits import Left, Stay, Visit

HEARD_WITHIN = timedelta(seconds=30)
"""A worker that lives is heard of within this time, by its heartbeat and by each of its visits."""


class Heartbeat(Protocol):
    """This worker's heartbeat, a key of this `name`, and those of others. Every method may raise StoreDown."""

    name: str

    async def beat(self) -> None:
        """Say that this worker lives, for HEARD_WITHIN."""
        ...

    async def stop(self) -> None:
        """Say that it does not any more."""
        ...

    async def gone(self, names: Collection[str]) -> frozenset[str]:
        """Return which of these heartbeats are not there."""
        ...


class VisitBook(Protocol):
    """All workers of one engine share it. Every method may raise TranscriptDown, and may be repeated.

    Times are by the clock of the database. Nothing is written at a session that is gone or was made anonymous.
    """

    async def keep(self, heartbeat: str, stays: Sequence[Stay]) -> None:
        """Write how it stands with visits that this worker keeps, which has this heartbeat.

        One that was taken for silent goes on; one that was erased stays so. May raise Unstorable.
        """
        ...

    async def heartbeats(self) -> Collection[str]:
        """Return the heartbeats of all that keep open visits."""
        ...

    async def close(self, gone: Collection[str]) -> Left:
        """End visits that are silent, and those of workers whose heartbeat is gone if they are not heard of either.

        They ended when they were last heard of.
        """
        ...

    async def begin(self, visit_id: str, session_id: str, person: Person) -> Visit | None:
        """Have a visit that only its client keeps up; one that is there stays. None where nothing is written."""
        ...

    async def beat(self, visit_id: str) -> Visit | None:
        """Hear of a visit that its client keeps up; returns how it stands: one that is over stays over."""
        ...

    async def end(self, visit_id: str) -> Visit | None:
        """End a visit that its client keeps up; returns how it stands."""
        ...

    async def visit(self, visit_id: str) -> Visit | None:
        """One visit."""
        ...

    async def of_session(self, session_id: str, *, is_open: bool | None = None) -> Sequence[Visit]:
        """Return the visits of a session, the newest hundred, or those that are open, or over."""
        ...
