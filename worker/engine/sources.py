"""What the engine's history has of a decision, and what its variables are now, over REST."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from worker.domain.decisions import ID_SUFFIX
from worker.domain.evidence import Completion, Operation, PersonsTask, Value, is_called
from worker.domain.processes import Calls, Process
from worker.engine import calls, processes
from worker.engine.activities import BODY
from worker.engine.failures import Reply
from worker.engine.lists import Lists
from worker.engine.transport import Transport
from worker.errors import EngineDenied

_RAW = {"deserializeValues": "false"}


class RestSources:
    """Implements `ports.decisions.DecisionSources`. `probe` returns if the engine works for us, or raises."""

    def __init__(self, transport: Transport, lists: Lists, probe: Callable[[], Awaitable[None]]) -> None:
        self._transport = transport
        self._lists = lists
        self._probe = probe

    async def instance(self, instance: str) -> Process | None:
        """See `ports.decisions.DecisionSources.instance`."""
        try:
            return (await processes.found(self._lists, [instance])).get(instance)
        except EngineDenied:
            await self._probe()
            return None

    async def called(self, instance: str) -> Calls:
        """See `ports.decisions.DecisionSources.called`."""
        return await calls.below(self._lists, instance)

    async def remembers(self, task: str) -> bool:
        """See `ports.decisions.DecisionSources.remembers`."""
        return bool(await self._rows("/history/external-task-log", {"externalTaskId": task}, most=1))

    async def completions(self, instance: str) -> Sequence[Completion]:
        """See `ports.decisions.DecisionSources.completions`."""
        wanted = {"processInstanceId": instance, "successLog": "true"}
        rows = await self._rows("/history/external-task-log", wanted)
        found = [
            Completion(
                _text(row, "externalTaskId"),
                instance,
                _text(row, "activityId"),
                _text(row, "activityInstanceId"),
                _text(row, "processDefinitionId"),
                _time(row, "timestamp"),
            )
            for row in rows
        ]
        return sorted(found, key=lambda each: each.at)

    async def outputs(self, instance: str, decision: str) -> Sequence[str]:
        """See `ports.decisions.DecisionSources.outputs`. Engines find no variable by its value alone."""
        named = _RAW | {"variableNameLike": f"%{ID_SUFFIX}"}
        rows = await self._rows("/history/variable-instance", named | {"processInstanceId": instance})
        rows += await self._rows("/variable-instance", named | {"processInstanceIdIn": instance})
        found = [_text(row, "name") for row in rows if row.get("value") == decision]
        return list(dict.fromkeys(each.removesuffix(ID_SUFFIX) for each in found if each.endswith(ID_SUFFIX)))

    async def unfinished(self, instance: str) -> bool | None:
        """See `ports.decisions.DecisionSources.unfinished`."""
        rows = await self._rows("/history/external-task-log", {"processInstanceId": instance})
        tasks = {_text(row, "externalTaskId") for row in rows}
        completed = {_text(row, "externalTaskId") for row in rows if row.get("successLog") is True}
        return tasks != completed if tasks else None

    async def values(self, instance: str, name: str) -> Sequence[Value]:
        """See `ports.decisions.DecisionSources.values`. Engines find no updates by a variable's name, but by its id."""
        pattern = {"processInstanceId": instance, "variableNameLike": f"{name}%", "includeDeleted": "true"}
        known = await self._rows("/history/variable-instance", _RAW | pattern)
        ids = [_text(row, "id") for row in known if is_called(_text(row, "name"), name)]
        found = [
            _value(row, instance, _text(row, "variableName"), _text(row, "variableType"), _time(row, "time"))
            for each in ids
            for row in await self._rows(
                "/history/detail", _RAW | {"variableInstanceId": each, "variableUpdates": "true"}
            )
        ]
        # Only the history level full keeps each value that was written; below it there is what stands there now.
        return sorted(found, key=lambda each: each.at or _EPOCH) or await self._newest(instance, name, known)

    async def _newest(self, instance: str, name: str, known: Sequence[Mapping[str, Any]]) -> Sequence[Value]:
        """Return what variables are now, behind the last values of those that went with what they were of.

        Level audit keeps these, in called processes that are over for one; levels below keep none.
        """
        now = await self._now(instance, name)
        there = {each.id for each in now}
        gone = [row for row in known if row.get("state") != "DELETED" and row.get("id") not in there]
        gone.sort(key=lambda row: _time(row, "createTime"))
        over = [_value(row, instance, _text(row, "name"), _text(row, "type"), None) for row in gone]
        return [*(each for each in over if is_called(each.name, name)), *now]

    async def _now(self, instance: str, name: str) -> Sequence[Value]:
        wanted = {"processInstanceIdIn": instance, "variableNameLike": f"{name}%"}
        rows = await self._rows("/variable-instance", _RAW | wanted)
        return [
            _value(row, instance, _text(row, "name"), _text(row, "type"), None)
            for row in rows
            if is_called(_text(row, "name"), name)
        ]

    async def content(self, value: Value, most: int) -> bytes | None:
        """See `ports.decisions.DecisionSources.content`."""
        places = ("variable-instance", "history/variable-instance") if value.at is None else ("history/detail",)
        for kind in places:
            found = await self._transport.download(f"/{kind}/{quote(value.id, safe='')}/data", most)
            if not isinstance(found, Reply):
                return found
        return None

    async def panel(self, instance: str, activity: str) -> Mapping[str, str]:
        """See `ports.decisions.DecisionSources.panel`."""
        # By the parents that are bodies, not by how a parent's id looks: engines put the activity's id into it only
        # where the whole has no more than 64 characters, which it has for an id of up to nine.
        bodies = {_text(row, "id") for row in await self._activities(instance, activity + BODY)}
        runs = {
            _text(row, "id"): _text(row, "parentActivityInstanceId")
            for row in await self._activities(instance, activity)
        }
        return {each: run for each, run in runs.items() if run in bodies}

    async def _activities(self, instance: str, activity: str) -> list[dict[str, Any]]:
        return await self._rows("/history/activity-instance", {"processInstanceId": instance, "activityId": activity})

    async def persons_tasks(self, instance: str) -> Sequence[PersonsTask]:
        """See `ports.decisions.DecisionSources.persons_tasks`. One that was cancelled has another reason."""
        wanted = {"processInstanceId": instance, "finished": "true", "taskDeleteReason": "completed"}
        found = [
            PersonsTask(
                _text(row, "id"),
                instance,
                _text(row, "taskDefinitionKey"),
                _text(row, "name"),
                _text(row, "activityInstanceId"),
                _text(row, "assignee"),
                _time(row, "endTime"),
                _time(row, "startTime") if row.get("startTime") else None,
            )
            for row in await self._rows("/history/task", wanted)
        ]
        return sorted(found, key=lambda each: each.at)

    async def operations(self, instance: str) -> Mapping[str, Operation]:
        """See `ports.decisions.DecisionSources.operations`."""
        rows = await self._rows("/history/user-operation", {"processInstanceId": instance})
        found = [
            Operation(*(_text(row, name) for name in ("operationId", "userId", "operationType", "taskId")))
            for row in rows
            if row.get("userId")
        ]
        return {each.id: each for each in found}

    async def _rows(self, path: str, query: Mapping[str, str], most: int | None = None) -> list[dict[str, Any]]:
        try:
            return [row async for row in self._lists.rows(path, query, most=most)]
        except EngineDenied:
            await self._probe()
            return []


_EPOCH = datetime.fromtimestamp(0, UTC)


def _value(row: Mapping[str, Any], instance: str, name: str, kind: str, at: datetime | None) -> Value:
    # In details it says where the instance was when it was written, and otherwise whose the variable is.
    where, operation = _text(row, "activityInstanceId"), _text(row, "userOperationId")
    places = (where, operation, "") if at else ("", operation, where)
    return Value(_text(row, "id"), instance, name, row.get("value"), kind, at, *places)


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""


def _time(row: Mapping[str, Any], name: str) -> datetime:
    """Read a time; what nobody can read is the oldest."""
    try:
        return datetime.fromisoformat(_text(row, name))
    except ValueError:
        return _EPOCH
