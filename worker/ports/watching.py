"""What people who read along need to see of the threads."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from worker.domain.threads import ThreadKey
from worker.domain.watching import Look, TaskSeen


class Windows(Protocol):
    """Looks at threads while turns go on there."""

    async def look(self, key: ThreadKey, last: Look) -> Look:
        """Say that somebody watches this thread for some time from now on, and see what is new since the last look.

        Calls that begin within that time are told to whom reads along, see `ports.providers.Watchers`. Which turn
        has the thread is seen at once, how far it is at the next look. Raises StoreDown.
        """
        ...


class Tasks(Protocol):
    """What the engine has to do for process instances."""

    async def waiting(self, instances: Collection[str]) -> Mapping[str, Sequence[TaskSeen]]:
        """Return the external tasks of these that are not done; nothing of an instance that has none.

        Raises EngineDown, ReadRefused.
        """
        ...
