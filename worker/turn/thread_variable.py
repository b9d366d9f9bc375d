"""The process variable that knows a thread for the day Redis has lost it."""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from worker.domain.tasks import Task
from worker.domain.threads import Thread, ThreadKey
from worker.errors import WorkerError
from worker.modelling import result
from worker.ports.engine import Engine
from worker.ports.threads import History
from worker.runtime.clock import monotonic
from worker.telemetry.logs import Event

SNAPSHOT_SECONDS = 2.0
"""How long the variables that came with a task are trusted to know the instance's thread."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ThreadVariable:
    """One variable of one process instance, as one task sees it.

    `key` is the thread's; `history` knows what was said under it, None where there is no transcript.

    `one_of_many`: other instances share the thread, and each has a variable of its own, so that Redis' word that the
    thread is published says nothing about this one. `begins`: nothing can have been said in an instance before this
    task, as its model goes.
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
        transcript knows of the key goes before what it says.
        """
        fresh = monotonic() - self.task.fetched_at < SNAPSHOT_SECONDS
        if fresh and self.process_instance_id == self.task.process_instance_id:
            variable = self.task.variables.get(self.name)
        else:
            variable = await self.engine.variable(self.process_instance_id, self.name)
        known = None if self.history is None else await self.history.thread(self.key)
        return known or result.read_thread_variable(variable)

    async def forerunners(self) -> Sequence[str] | None:
        """Return the instances that this variable's one was restarted from; see `ports.engine.Engine.forerunners`."""
        return await self.engine.forerunners(self.process_instance_id)

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
