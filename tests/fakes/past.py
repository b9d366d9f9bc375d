"""What an engine's history has of a decision: written by a fake engine, and by tests as persons."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from tests.fakes.clock import EPOCH
from worker.domain.evidence import COMPLETE, Completion, Operation, PersonsTask, Value
from worker.domain.tasks import Task, Variable


@dataclass(slots=True)
class Past:
    """Every event has a second of its own. `is_kept`: without, nothing but what variables are now can be read.

    `has_tasks`: persons' tasks are kept all the same. `knows_users`: the engine asks for names.
    """

    is_kept: bool = True
    has_tasks: bool = False
    knows_users: bool = True
    completions: list[Completion] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    persons: list[PersonsTask] = field(default_factory=list)
    operations: dict[str, tuple[str, Operation]] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    called: dict[str, list[str]] = field(default_factory=dict)
    _numbers: count = field(default_factory=lambda: count(1))  # type: ignore[type-arg]  # of numbers

    def completed(self, task: Task, variables: Mapping[str, Variable]) -> None:
        """The engine took a completion."""
        at, operation = self._at(), f"op-{next(self._numbers)}"
        passage = task.activity_instance or f"{task.activity_id}:{task.id}"
        for name, each in variables.items():
            self._write(task.process_instance_id, name, each.value, each.type, at, passage, operation)
        self.completions.append(
            Completion(task.id, task.process_instance_id, task.activity_id, passage, task.process_definition_id, at)
        )

    def person(
        self,
        instance: str,
        activity: str,
        user: str = "ann",
        *,
        assignee: str = "",
        began: datetime | None = None,
        **variables: Any,
    ) -> PersonsTask:
        """Somebody completed a task, with these variables; it came to be just before, unless `began` says when."""
        at, number = self._at(), next(self._numbers)
        passage = f"{activity}:{number}"
        task = PersonsTask(f"person-{number}", instance, activity, "", passage, assignee, at, began or at)
        operation = f"op-{number}"
        for name, value in variables.items():
            self._write(instance, name, value, None, at, task.activity_instance, operation)
        self.persons.append(task)
        self.operations[operation] = instance, Operation(operation, user, COMPLETE, task.id)
        return task

    def by_hand(self, instance: str, user: str = "demo", **variables: Any) -> None:
        """Somebody set variables by the API."""
        at, operation = self._at(), f"op-{next(self._numbers)}"
        for name, value in variables.items():
            self._write(instance, name, value, None, at, "somewhere", operation)
        self.operations[operation] = instance, Operation(operation, user, "SetVariable", "")

    def made_local(self, passage: str, *names: str) -> None:
        """What was written in a passage belongs to it, and not to the instance; all of it, or what is called so."""
        self.values = [
            replace(each, scope=passage)
            if each.activity_instance == passage and (not names or each.name in names)
            else each
            for each in self.values
        ]

    def skip(self, seconds: int) -> None:
        """Have nothing happen for so long."""
        self._numbers = count(next(self._numbers) + seconds)

    def _write(
        self, instance: str, name: str, value: Any, kind: str | None, at: datetime, passage: str, operation: str
    ) -> None:
        row = f"value-{next(self._numbers)}"
        self.values.append(Value(row, instance, name, value, kind or "", at, passage, operation))

    def _at(self) -> datetime:
        return datetime.fromtimestamp(EPOCH, UTC) + timedelta(seconds=next(self._numbers))
