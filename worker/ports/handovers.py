"""What it takes to hand something to a process: the engine's side, and where it is kept how that stands."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Protocol

from worker.domain.handovers import Absent, Handover, Marker, Standing, UserTask
from worker.domain.tasks import Variable


class Receivers(Protocol):
    """What of process instances takes what is handed to them. Every method may raise EngineDown, Unanswered, Conflict.

    Those that look may raise ReadRefused. Those that tell the engine something raise Refused and Forbidden, with
    nothing done; after EngineDown it may have been done: `look` finds it by the marker among its variables.
    """

    async def look(self, instance: str, name: str) -> Marker | Absent:
        """Look for a marker: at runtime, and in the history of an instance that is over."""
        ...

    async def waiting(self, instance: str, message: str) -> Sequence[str]:
        """Return the executions of an instance that wait for a message now, two at most."""
        ...

    async def task(self, task_id: str) -> UserTask | None:
        """Return an open user task."""
        ...

    async def messages(self, instance: str) -> Sequence[str]:
        """Return the names of the messages that an instance waits for now, each once; a hundred at most."""
        ...

    async def tasks(self, instance: str) -> Sequence[UserTask]:
        """Return the open user tasks of an instance, the oldest first; twenty at most."""
        ...

    async def groups(self, user: str) -> frozenset[str]:
        """Return the groups that a user is in."""
        ...

    async def correlate(self, execution: str, message: str, variables: Mapping[str, Variable]) -> None:
        """Have an execution receive a message that it waits for, with these variables of its instance.

        No other takes it, and no instance is ever started by it.
        """
        ...

    async def complete(self, task_id: str, variables: Mapping[str, Variable]) -> None:
        """Complete a user task, with these variables of its instance."""
        ...


class HandoverBook(Protocol):
    """All workers share it. Every method may raise TranscriptDown; times are by the clock of the database.

    What a holder does is refused once another one has the hand-over.
    """

    async def handover(self, ask_id: str) -> Handover | None:
        """Return how it stands with an ask's hand-over."""
        ...

    async def of_session(self, session_id: str) -> Sequence[Handover]:
        """Return the hand-overs of what was asked about the thread of a session, the newest hundred."""
        ...

    async def begin(self, handover: Handover, lease: timedelta) -> Handover:
        """Keep one that is about to be told to the engine; returns when it is safe on disk.

        One that is there for this ask stays, and is returned, unless it was not handed over. Raises Unstorable where
        the ask is gone.
        """
        ...

    async def settle(self, handover: Handover, state: Standing, *, decided_by: str = "", lapsed: bool = False) -> bool:
        """Say what came of it. False if that is said already, by another, or `lapsed` and it is not due yet."""
        ...

    async def drop(self, handover: Handover, *, lapsed: bool = False) -> bool:
        """Forget one that certainly did not happen. False as above."""
        ...
