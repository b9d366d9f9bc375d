"""Process instances that wait for messages and have user tasks, with the variables that come with those."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.script import Script
from worker.domain.handovers import Absent, Marker, UserTask, read_marker
from worker.domain.tasks import Variable
from worker.errors import Refused


@dataclass(slots=True)
class Waiting:
    """One instance: what its executions wait for, its user tasks, its variables, and whether the history has it.

    `received` are the messages and tasks that it has taken, with their variables.
    """

    messages: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, UserTask] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    received: list[tuple[str, dict[str, Variable]]] = field(default_factory=list)
    runs: bool = True
    has_history: bool = True
    ends_with: frozenset[str] = frozenset()

    def task(self, task_id: str = "sign", instance: str = "a", **changes: Any) -> None:
        """Have a user task."""
        usual: dict[str, Any] = {"assignee": None, "is_suspended": False, "is_delegated": False}
        nobody: dict[str, Any] = {"users": frozenset(), "groups": frozenset()}
        self.tasks[task_id] = UserTask(task_id, instance, **(usual | nobody | changes))


class FakeReceivers:
    """`ports.handovers.Receivers`. What is told to do at `correlated` and `completed` comes after it was done."""

    def __init__(self) -> None:
        self.script = Script()
        self.instances: dict[str, Waiting] = {}
        self.members: dict[str, frozenset[str]] = {}

    async def look(self, instance: str, name: str) -> Marker | Absent:
        await self.script.reach("look", instance, name)
        found = self.instances[instance]
        if not (found.runs or found.has_history):
            return Absent.HIDDEN
        marker = read_marker(name, found.variables.get(name))
        return marker or (Absent.RUNS if found.runs else Absent.OVER)

    async def waiting(self, instance: str, message: str) -> Sequence[str]:
        await self.script.reach("waiting", instance, message)
        return [name for name, waits in self.instances[instance].messages.items() if waits == message][:2]

    async def task(self, task_id: str) -> UserTask | None:
        await self.script.reach("task", task_id)
        return next((each.tasks[task_id] for each in self.instances.values() if task_id in each.tasks), None)

    async def messages(self, instance: str) -> Sequence[str]:
        await self.script.reach("messages", instance)
        return sorted(set(self.instances[instance].messages.values()))

    async def tasks(self, instance: str) -> Sequence[UserTask]:
        await self.script.reach("tasks", instance)
        return [*self.instances[instance].tasks.values()]

    async def groups(self, user: str) -> frozenset[str]:
        await self.script.reach("groups", user)
        return self.members.get(user, frozenset())

    async def correlate(self, execution: str, message: str, variables: Mapping[str, Variable]) -> None:
        await self.script.reach("correlate", execution, message, variables)
        self._take(lambda each: each.messages.pop(execution, None), message, variables)
        await self.script.reach("correlated")

    async def complete(self, task_id: str, variables: Mapping[str, Variable]) -> None:
        await self.script.reach("complete", task_id, variables)
        self._take(lambda each: each.tasks.pop(task_id, None), task_id, variables)
        await self.script.reach("completed")

    def _take(self, taken: Callable[[Waiting], object], what: str, variables: Mapping[str, Variable]) -> None:
        found = next((each for each in self.instances.values() if each.runs and taken(each)), None)
        if found is None:
            raise Refused("400 RestException: nothing waits for it")
        found.received.append((what, dict(variables)))
        found.variables |= {name: each.value for name, each in variables.items()}
        found.runs = what not in found.ends_with
