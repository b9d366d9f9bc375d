"""What knows a thread for the day Redis has lost it: a process variable, or the transcript alone."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import structlog

from worker.domain.tasks import Origin, Task
from worker.domain.threads import Thread, ThreadKey
from worker.errors import HistoryUnread, WorkerError
from worker.modelling import result
from worker.ports.engine import Engine
from worker.ports.threads import History
from worker.runtime.clock import monotonic
from worker.telemetry.logs import Event

SNAPSHOT_SECONDS = 2.0
"""How long the variables that came with a task are trusted to know the instance's thread."""

log = structlog.get_logger()


class Keepsake(Protocol):
    """What knows one thread beside Redis.

    `one_of_many`: other instances share the thread, and each has one of its own, so that Redis' word that the thread is
    published says nothing about this one. `begins`: nothing can have been said in an instance before the turn, as its
    model goes.
    """

    @property
    def one_of_many(self) -> bool: ...  # noqa: D102 - see above

    @property
    def begins(self) -> bool: ...  # noqa: D102 - see above

    async def read(self) -> Thread | None:
        """Return the thread; None where there is none. Raises HistoryUnread where nobody can tell."""
        ...

    async def origin(self) -> Origin | None:
        """Say where the thread's instance came from; see `ports.engine.Engine.origin`."""
        ...

    def came_with(self, thread: Thread) -> bool:
        """Whether it named this thread when the turn began."""
        ...

    async def write(self, thread: Thread) -> bool:
        """Have it know this thread from now on; False if it does not."""
        ...


@dataclass(frozen=True, slots=True)
class RecordedThread:
    """Implements Keepsake for what a person asks, which writes no process variable: the transcript is all there is.

    Unless the thread `may_be_new` nothing is made where nobody knows any.
    """

    key: ThreadKey
    history: History
    may_be_new: bool
    one_of_many: ClassVar[bool] = True
    begins: ClassVar[bool] = False

    async def read(self) -> Thread | None:
        """See `Keepsake.read`. Raises HistoryUnread where there has to be one."""
        known = await self.history.thread(self.key)
        if known is None and not self.may_be_new:
            raise HistoryUnread("the transcript, which alone can know the thread, does not tell it now")
        return known

    async def origin(self) -> Origin | None:
        """Say nothing of it: it is told what the transcript has."""
        return Origin()

    def came_with(self, thread: Thread) -> bool:  # noqa: ARG002 - of the protocol
        """Say no: nobody but the process knows what the process knows."""
        return False

    async def write(self, thread: Thread) -> bool:  # noqa: ARG002 - of the protocol
        """Do nothing."""
        return False


@dataclass(frozen=True, slots=True)
class ThreadVariable:
    """Implements Keepsake by one variable of one process instance, as one task sees it.

    `key` is the thread's; `history` knows what was said under it, None where there is no transcript.
    """

    engine: Engine
    task: Task
    process_instance_id: str
    name: str
    key: ThreadKey
    history: History | None
    one_of_many: bool = False
    begins: bool = False

    async def read(self) -> Thread | None:
        """Return the thread; read anew if the task waited, as one beside it may have written the variable meanwhile.

        Anybody may write the variable, or take it away, and call activities copy it over the caller's. So what the
        transcript knows of the key goes before what it says. While that cannot be read, the variable counts where it
        names a thread, but not where others may have made another one since.
        """
        fresh = monotonic() - self.task.fetched_at < SNAPSHOT_SECONDS
        if fresh and self.process_instance_id == self.task.process_instance_id:
            variable = self.task.variables.get(self.name)
        else:
            variable = await self.engine.variable(self.process_instance_id, self.name)
        named = result.read_thread_variable(variable)
        try:
            known = None if self.history is None else await self.history.thread(self.key)
        except HistoryUnread:
            if named is None or self.one_of_many:
                raise
            return named
        return known or named

    async def origin(self) -> Origin | None:
        """Say where this variable's instance came from; see `ports.engine.Engine.origin`."""
        return await self.engine.origin(self.process_instance_id)

    def came_with(self, thread: Thread) -> bool:
        """Whether the variable that came with the task names this thread."""
        variable = self.task.variables.get(self.name)
        return variable is not None and variable.value == result.thread_variable(thread).value

    async def write(self, thread: Thread) -> bool:
        """Write it; a failure costs nothing while Redis lives, and the next turn tries again."""
        try:
            await self.engine.set_variable(self.process_instance_id, self.name, result.thread_variable(thread))
        except WorkerError as exc:
            log.warning(Event.THREAD_VARIABLE_NOT_WRITTEN, thread_id=thread.id, reason=str(exc))
            return False
        return True
