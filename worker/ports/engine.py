"""What the worker needs of a BPMN engine.

Every method raises only `worker.errors`; adapters translate their driver's errors once. Cancellation passes through.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Protocol

from worker.domain.tasks import Definition, Origin, Task, TaskState, Topic, Variable


class Engine(Protocol):
    """A BPMN engine's REST API, seen by one worker id. All methods may raise EngineDown.

    TaskLost is TaskGone where there is no such task any more. EngineUnreached says that nothing was sent.
    Where a method concerns one task, the engine's own no is that task's: reads raise ReadRefused, and Unanswered or
    Conflict where that may pass; what tells the engine something raises Forbidden where a right is missing.
    """

    async def fetch(self, topics: Sequence[Topic], max_tasks: int, wait: timedelta = timedelta.max) -> list[Task]:
        """Lock and return up to `max_tasks` tasks, by priority and then the oldest first.

        Waits at the engine for the first one, not longer than `wait`, nor than the worker's own time for a poll. Raises
        Refused where the engine itself says no to this poll, TooMuch where the tasks have more bytes than are taken in;
        tasks may be locked all the same.
        """
        ...

    async def ping(self) -> None:
        """Return if the engine takes polls from us at all."""
        ...

    async def extend(self, task_id: str, duration: timedelta | None = None) -> None:
        """Set the lock to now + duration (the worker's lock duration if None), longer or shorter.

        A lock that ran out and was not taken by another worker is taken back. Raises TaskLost, TaskSuspended.
        """
        ...

    async def complete(self, task_id: str, variables: Mapping[str, Variable], local: Mapping[str, Variable]) -> None:
        """Hand in the result. Raises Conflict, TooLong, Refused, TaskLost, TaskSuspended.

        After EngineDown the completion may have happened: ask `was_completed` when the repeat finds no task.
        """
        ...

    async def was_completed(self, task_id: str) -> bool:
        """Whether the engine's history has an accepted completion of this task."""
        ...

    async def fail(self, task_id: str, message: str, details: str, retries: int, delay: timedelta) -> None:
        """Report a failure; `retries` 0 makes an incident. The message is cut at 666 characters by engines."""
        ...

    async def bpmn_error(self, task_id: str, code: str, message: str, variables: Mapping[str, Variable]) -> None:
        """Throw a BPMN error that the model catches. Uncaught, it ends the path without an incident."""
        ...

    async def unlock(self, task_id: str) -> None:
        """Give the task back at once, unless its lock has run out. Raises TaskLost."""
        ...

    async def state(self, task_id: str) -> TaskState:
        """What the engine says of the task now. Raises TaskLost when it is gone."""
        ...

    async def bare(self, task_id: str) -> Task:
        """Return a task that we have locked without its variables. Raises TaskLost when it is gone, Refused."""
        ...

    async def locked(self) -> list[str]:
        """Ids of all tasks that our worker id has locked, those we never heard of included."""
        ...

    async def definition(self, definition_id: str) -> Definition:
        """The model's external tasks with documentation; one request per definition, then cached."""
        ...

    async def variable(self, process_instance_id: str, name: str) -> Variable | None:
        """One variable of the instance as it is now, None if there is none. Raises TaskLost without instance."""
        ...

    async def set_variable(self, process_instance_id: str, name: str, variable: Variable) -> None:
        """Write one variable of the instance. Raises TaskLost without instance."""
        ...

    async def content(self, execution_id: str, name: str, most: int) -> bytes | None:
        """Content of a File variable that this execution sees; None if it has more than `most` bytes."""
        ...

    async def as_json(self, execution_id: str, name: str, most: int) -> str | None:
        """JSON of a Java object in a variable that this execution sees; None beyond `most` bytes.

        Raises ReadRefused where the engine itself cannot read the object.
        """
        ...

    async def root_instance(self, process_instance_id: str) -> str:
        """The instance that no call activity started, at the top of this one's callers; it may be itself."""
        ...

    async def origin(self, process_instance_id: str) -> Origin | None:
        """Say where this instance came from, which its history alone knows; None if nobody can tell."""
        ...

    async def began_at(self, process_instance_id: str) -> str:
        """When this instance was started, in the engine's words; empty where its history does not say.

        Where ids are counted, and the database was lost or restored, it may be another instance than a moment ago.
        """
        ...

    async def resource(self, definition_id: str, name: str) -> str:
        """Text of a file that was deployed with the definition. Raises BadDefinition when there is none, TaskLost."""
        ...

    async def has_spin(self) -> bool:
        """Whether the engine stores Json variables and JSON-serialised objects; asked once, then cached."""
        ...


class Backlog(Protocol):
    """How much there is to do at the engine, for whoever sizes a fleet."""

    async def waiting(self, topic: Topic) -> int:
        """How many tasks of a topic could be fetched right now: unlocked, with retries left, not suspended.

        Where only tasks without a tenant are served, engines count those of tenants too. Raises EngineDown.
        """
        ...


class Topics(Protocol):
    """What to poll for."""

    async def current(self) -> tuple[Topic, ...]:
        """Return the topics to poll for now; looks for new ones when the last look is old. Never raises."""
        ...

    def next_look(self) -> timedelta:
        """Say in how long `current` looks again: a poll has to be over by then, as none is ever broken off."""
        ...

    def serves(self, task: Task) -> bool:
        """Whether a fetched task is ours to answer."""
        ...

    def suspect(self) -> None:
        """Look again before the next poll: a task came that is not ours."""
        ...

    async def definitions(self, topic: str) -> tuple[str, ...]:
        """Ids of the definitions that may bring tasks of ours on this topic, as far as known. Never raises."""
        ...

    async def without_models(self) -> frozenset[str]:
        """Names of topics on which all tasks of ours ask no model, as far as known. Never raises."""
        ...
