"""Where decisions come from and are kept, without an engine's history or a database."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from tests.fakes.engine import World
from tests.fakes.script import Script
from worker.decisions import schemas
from worker.domain.decisions import ID_SUFFIX, Decision, DecisionKey
from worker.domain.evidence import Completion, Operation, PersonsTask, Value, is_called
from worker.domain.processes import Called, Calls, Process


class FakeSources:
    """`ports.decisions.DecisionSources` by what a fake engine's world has."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def instance(self, instance: str) -> Process | None:
        usual = Process(instance, "choose:1:c", "choose", 1, None, None, None, is_active=True)
        return self._world.processes.get(instance, usual)

    async def called(self, instance: str) -> Calls:
        found = list[Called]()
        for each in self._world.past.called.get(instance, ()):
            process = await self.instance(each)
            found.append(Called(each, "called", "", instance, process.definition_id if process else ""))
        return Calls(found)

    async def remembers(self, task: str) -> bool:
        return self._world.past.is_kept and task in self._world.jobs

    async def completions(self, instance: str) -> Sequence[Completion]:
        return [each for each in self._world.past.completions if each.instance == instance]

    async def values(self, instance: str, name: str) -> Sequence[Value]:
        past = self._world.past
        found = [each for each in past.values if each.instance == instance and is_called(each.name, name)]
        if past.is_kept:
            return found
        newest = {(each.name, each.scope): replace(each, at=None, activity_instance="", operation="") for each in found}
        return list(newest.values())

    async def outputs(self, instance: str, decision: str) -> Sequence[str]:
        last = {each.name: each.value for each in self._world.past.values if each.instance == instance}
        return [name.removesuffix(ID_SUFFIX) for name, value in last.items() if value == decision]

    async def unfinished(self, instance: str) -> bool | None:
        past = self._world.past
        completed = {each.task for each in past.completions if each.instance == instance}
        jobs = {id_ for id_, job in self._world.jobs.items() if job.task.process_instance_id == instance}
        return bool(jobs - completed) if past.is_kept and jobs | completed else None

    async def content(self, value: Value, most: int) -> bytes | None:
        content = self._world.contents.get((value.instance, value.name))
        return None if content is None or len(content) > most else content

    async def panel(self, instance: str, activity: str) -> Mapping[str, str]:
        passages = self._world.past.runs.items()
        return {
            each: run for each, run in passages if run.startswith(f"{instance}#") and each.startswith(f"{activity}:")
        }

    async def persons_tasks(self, instance: str) -> Sequence[PersonsTask]:
        past = self._world.past
        return [each for each in past.persons if each.instance == instance and (past.is_kept or past.has_tasks)]

    async def operations(self, instance: str) -> Mapping[str, Operation]:
        past = self._world.past
        known = past.operations if past.is_kept and past.knows_users else {}
        return {id_: operation for id_, (where, operation) in known.items() if where == instance}


class FakeBook:
    """`ports.decisions.DecisionBook` in memory. What is read is no more than JSON can be."""

    def __init__(self) -> None:
        self.script = Script()
        self.kept: dict[DecisionKey, Decision] = {}

    async def last(self, key: DecisionKey) -> Decision | None:
        await self.script.reach("last", key)
        return self.kept.get(key)

    async def keep(
        self,
        key: DecisionKey,
        record: Mapping[str, Any],
        row: Mapping[str, Any],
        *,
        definition_key: str,
        business_key: str | None,
    ) -> bool:
        await self.script.reach("keep", key, row)
        schemas.check(record)
        now, last = datetime.now(UTC), self.kept.get(key)
        rows = last.rows if last else ()
        if row["number"] != len(rows) + 1:
            return False
        if last and last.record["revision"] == record["revision"] and last.record["content"] != record["content"]:
            return False
        began = last.began_at if last else now
        plain: dict[str, Any] = json.loads(json.dumps(record))
        self.kept[key] = Decision(key, definition_key, business_key, plain, (*rows, dict(row)), began, now)
        return True
