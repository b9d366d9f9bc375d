"""Process instances for people: which go on, what their tasks wait for, what failed, and what came of it."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from worker.domain.processes import Incident, Moved, Process, Step, StepState, definition
from worker.engine import wire
from worker.engine.lists import Lists
from worker.errors import EngineDenied
from worker.runtime.portions import portions

MOST = 200
"""Instances or incidents, the newest ones; more are for the engine's own Cockpit."""
MOST_STEPS = 500
MOST_NAMES = 5000
AT_ONCE = 100
"""Keys or ids in one question."""

MODIFIED = "ModifyProcessInstance"
"""What the operation log calls a modification."""

_PAST, _RUNNING = "/history/process-instance", "/process-instance"


async def found(lists: Lists, ids: Collection[str]) -> dict[str, Process]:
    """Read instances, ended ones too where the history has them; unknown ones are left out. Raises EngineDown."""
    known: dict[str, Process] = {}
    for path in (_PAST, _RUNNING):
        for some in portions(sorted(set(ids) - known.keys()), AT_ONCE):
            async for row in lists.rows(path, body={"processInstanceIds": some}):
                known |= {each.id: each for each in [_process(row)]}
    return known


async def going_on(lists: Lists, keys: Collection[str]) -> list[Process]:
    """Find running instances of these definitions, the newest first, MOST at most. Raises EngineDown."""
    newest = {"unfinished": True, "sorting": [{"sortBy": "startTime", "sortOrder": "desc"}]}
    processes = [_process(row) async for row in _of_definitions(lists, _PAST, keys, newest)]
    if not processes:  # without a history nobody knows which are the newest
        processes = [_process(row) async for row in _of_definitions(lists, _RUNNING, keys, {})]
    processes.sort(key=lambda each: each.started_at or datetime.min.replace(tzinfo=UTC), reverse=True)
    return processes[:MOST]


async def _of_definitions(
    lists: Lists, path: str, keys: Collection[str], wanted: Mapping[str, Any]
) -> AsyncIterator[dict[str, Any]]:
    for some in portions(sorted(keys), AT_ONCE):
        async for row in lists.rows(path, body={"processDefinitionKeyIn": some, **wanted}, most=MOST):
            yield row


async def incidents(lists: Lists, keys: Collection[str]) -> list[Incident]:
    """Find what is wrong in instances of these definitions, the newest first, MOST at most. Raises EngineDown."""
    newest, rows = {"sortBy": "incidentTimestamp", "sortOrder": "desc"}, list[dict[str, Any]]()
    for some in portions(sorted(keys), AT_ONCE):
        wanted = {"processDefinitionKeyIn": ",".join(some), **newest}
        rows += [row async for row in lists.rows("/incident", wanted, most=MOST)]
    rows.sort(key=lambda row: str(row.get("incidentTimestamp")), reverse=True)
    return [
        Incident(str(row.get("processInstanceId")), _text(row, "activityId"), _text(row, "incidentMessage"))
        for row in rows[:MOST]
    ]


async def failing(lists: Lists, ids: Collection[str]) -> set[str]:
    """Tell which of these instances have incidents. Raises EngineDown."""
    found_: set[str] = set()
    for some in portions(sorted(ids), AT_ONCE):
        async for row in lists.rows(_RUNNING, body={"processInstanceIds": some, "withIncident": True}):
            found_.add(str(row.get("id")))
    return found_


async def steps(lists: Lists, instance_id: str) -> list[Step]:
    """Tell what the tasks of an instance wait for, those with incidents first. Raises EngineDown."""
    own = {"processInstanceId": instance_id}
    wrong, tasks = await asyncio.gather(_rows(lists, "/incident", own), _rows(lists, "/external-task", own))
    failed = [_failed(row) for row in wrong]
    at = {row.get("configuration") for row in wrong}  # an incident of a task names it
    return failed + [_step(row) for row in tasks if row.get("id") not in at]


async def _rows(lists: Lists, path: str, wanted: Mapping[str, str]) -> list[dict[str, Any]]:
    return [row async for row in lists.rows(path, wanted, most=MOST_STEPS)]


def _failed(row: Mapping[str, Any]) -> Step:
    activity = _text(row, "failedActivityId") or _text(row, "activityId")
    kind = _text(row, "incidentType")
    task_id = _text(row, "configuration") if kind == "failedExternalTask" else ""
    return Step(activity, "failed", _text(row, "incidentMessage"), kind=kind, task_id=task_id)


def _step(row: Mapping[str, Any]) -> Step:
    retries = row.get("retries")
    return Step(
        _text(row, "activityId"),
        _state(row),
        _text(row, "errorMessage"),
        retries if isinstance(retries, int) else None,
        task_id=_text(row, "id"),
    )


def _state(row: Mapping[str, Any]) -> StepState:
    if row.get("suspended") is True:
        return "suspended"
    # Before the lock: engines keep the message of a failure while the task is tried again.
    if row.get("errorMessage"):
        return "again"
    # By our clock against the engine's: good enough for people, and nothing is decided by it.
    locked_until = wire.time_or_none(row.get("lockExpirationTime"))
    return "asking" if locked_until is not None and locked_until > datetime.now(UTC) else "waiting"


async def moved(lists: Lists, instance_id: str) -> Moved | None:
    """Tell when a modification last moved an instance, by the operation log, which only full histories with users have.

    Raises EngineDown, but for a right that is missing: then nothing is told.
    """
    try:
        rows = [row async for row in _modified(lists, {"processInstanceId": instance_id}, most=1)]
        batch = await _batch(lists, instance_id)
    except EngineDenied:
        return None
    own = wire.time_or_none(rows[0].get("timestamp")) if rows else None
    if batch is not None and (own is None or own < batch):
        return Moved(batch, by_batch=True)
    return None if own is None else Moved(own)


async def _batch(lists: Lists, instance_id: str) -> datetime | None:
    """Tell when a batch last modified instances of this one's definition, since it began: of which no engine notes."""
    process = (await found(lists, [instance_id])).get(instance_id)
    if process is None or process.started_at is None:
        return None
    async for row in _modified(lists, {"processDefinitionId": process.definition_id}, most=MOST):
        at = wire.time_or_none(row.get("timestamp"))
        if at is None or at < process.started_at:
            break
        if not row.get("processInstanceId"):
            return at
    return None


def _modified(lists: Lists, whose: Mapping[str, str], most: int) -> AsyncIterator[dict[str, Any]]:
    wanted = {**whose, "operationType": MODIFIED, "sortBy": "timestamp", "sortOrder": "desc"}
    return lists.rows("/history/user-operation", wanted, most=most)


async def names(lists: Lists) -> dict[tuple[str, str | None], str]:
    """Return the names of processes, by key and tenant, as their newest versions have them. Raises EngineDown."""
    rows = lists.rows("/process-definition", {"latestVersion": "true"}, most=MOST_NAMES)
    return {(_text(row, "key"), row.get("tenantId")): _text(row, "name") async for row in rows if row.get("name")}


def _process(row: Mapping[str, Any]) -> Process:
    # What runs is told with fewer facts, and under other names, than what the history has.
    definition_id = _text(row, "processDefinitionId") or _text(row, "definitionId")
    key, version = definition(definition_id) or (None, row.get("processDefinitionVersion"))
    key = key or _text(row, "processDefinitionKey") or _text(row, "definitionKey") or definition_id
    return Process(
        id=_text(row, "id"),
        definition_id=definition_id,
        definition_key=key,
        definition_version=version if isinstance(version, int) else None,
        business_key=_text(row, "businessKey") or None,
        tenant=_text(row, "tenantId") or None,
        started_at=wire.time_or_none(row.get("startTime")),
        is_active=row.get("endTime") is None,
    )


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""
