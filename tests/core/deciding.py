"""An instance in which a decision is made: its parts are said, and tasks that make its record are reached."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from tests.core.rig import Core
from tests.fakes.engine import Job
from tests.unit.decisions.examples import parts
from worker.domain.decisions import Decision, DecisionKey
from worker.domain.tasks import Task, Variable

DEFINITION = "choose:1:c"
KEY = DecisionKey("default", "a")


@dataclass(slots=True)
class Deciding:
    """An instance `a` in which a decision is made. Parts are said as if assistants had been asked."""

    core: Core
    numbers: count = field(default_factory=lambda: count(1))  # type: ignore[type-arg]  # of numbers

    def task(self, part: str, assistant: str = "analyst", definition: str = DEFINITION, **changes: Any) -> None:
        """Deploy a task that brings a part."""
        said = {"service.type": "assistant", "service.name": assistant, "record.part": part}
        self.core.world.activity(part, definition=definition, properties=said, **changes)

    def say(
        self,
        part: str,
        value: Any,
        *,
        output: str = "",
        instance: str = "a",
        run: str = "",
        definition: str = DEFINITION,
        **meta: Any,
    ) -> str:
        """Have the engine take an answer; the passage that it was in."""
        number, output = next(self.numbers), output or part
        passage = f"{part}:{number}"
        if run:
            self.core.world.past.runs[passage] = run
        at = datetime.fromtimestamp(0, UTC)
        task = Task(
            f"t{number}", "topic", part, instance, definition, "choose", "e", at, 0.0, activity_instance=passage
        )
        told = {"assistant": "analyst", "version": "1.0", "task": task.id, "attempt": 1} | meta
        answer = {output: Variable(json.dumps(value), "Json"), f"{output}_meta": Variable(json.dumps(told), "String")}
        self.core.world.past.completed(task, answer)
        return passage

    def say_all(self, **changed: Any) -> None:
        given = parts() | changed
        for part, value in given.items():
            self.task(part)
            self.say(part, value["one"] if part == "scores" else value)

    async def reach(self, stage: str, *, activity: str = "", instance: str = "a", **properties: str) -> Job:
        """Reach a task that makes the record, and see it to its end or its incident."""
        activity = activity or stage
        said = {"service.type": "decision-record", "record.stage": stage, "data.output": "decision"}
        said |= {name.replace("_", "."): value for name, value in properties.items()}
        self.core.world.activity(activity, definition=DEFINITION, properties=said)
        job = self.core.world.start(
            activity, definition=DEFINITION, instance=instance, activity_instance=f"{activity}:{next(self.numbers)}"
        )
        async with self.core.working():
            await self.core.until(lambda: job.gone or job.has_incident)
        return job

    @property
    def kept(self) -> Decision:
        assert self.core.decisions is not None
        return self.core.decisions.kept[KEY]

    def kinds(self) -> list[tuple[str, int, str]]:
        """Each row's kind, revision and status."""
        return [(row["kind"], row["revision"], row["facts"].get("status", "")) for row in self.kept.rows]


def told(job: Job) -> Mapping[str, Any]:
    read: dict[str, Any] = json.loads(job.results["decision"].value)
    return read
