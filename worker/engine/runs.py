"""Instances that are started, and followed to their end."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from worker.domain.runs import At, End, Held, Run, Stand
from worker.domain.tasks import Variable
from worker.engine import wire
from worker.engine.failures import describe, is_undone, refusal
from worker.engine.lists import Lists
from worker.engine.transport import COMPLETION, Transport
from worker.errors import EngineDown, Permanent

MOST: Final = 2000
"""Rows of a list: an instance that loops more often is followed by its newest."""
MOST_CALLED: Final = 50
"""Instances that are followed together, one and those that it called."""
_ENDS: Final[Mapping[str, End]] = {"errorEndEvent": "error", "terminateEndEvent": "terminated"}
_STATES: Final[Mapping[str, End]] = {
    "COMPLETED": "completed",
    "EXTERNALLY_TERMINATED": "terminated",
    "INTERNALLY_TERMINATED": "terminated",
}


class MaybeStarted(EngineDown):
    """Nobody can tell whether an instance was started: the engine had the request, and gave no answer of its own."""


class RestRuns:
    """Starts instances at one engine, and looks at them. All methods may raise EngineDown."""

    def __init__(self, transport: Transport, lists: Lists) -> None:
        self._transport = transport
        self._lists = lists

    async def start(
        self,
        key: str,
        variables: Mapping[str, Variable],
        *,
        version: int | None = None,
        business_key: str | None = None,
        tenant: str | None = None,
    ) -> str:
        """Start an instance of a version, or of the latest, and return its id.

        Without a tenant only processes of none are looked for. Raises Permanent where there is no such process, Refused
        and its kinds where the engine does not take the variables or cannot begin, MaybeStarted where nobody can tell.
        """
        whose = f" of the tenant {tenant}" if tenant else ""
        wanted = f"process {key}{whose}" if version is None else f"version {version} of process {key}{whose}"
        path = f"/process-definition/key/{quote(key, safe='')}"
        path += f"/tenant-id/{quote(tenant, safe='')}" if tenant else ""
        if version is not None:
            limit = {"tenantIdIn": tenant} if tenant else {"withoutTenantId": "true"}
            rows = self._lists.rows("/process-definition", {"key": key, "version": str(version)} | limit, most=1)
            found = [str(row.get("id")) async for row in rows]
            if not found:
                raise Permanent(f"the engine has no {wanted}")
            path = f"/process-definition/{quote(found[0], safe='')}"
        body = {"variables": wire.variables(variables), "businessKey": business_key}
        try:
            # What stands before the first wait state runs before the reply.
            reply = await self._transport.send("POST", f"{path}/start", body, limits=COMPLETION)
            started = reply.value(dict) if reply.status == HTTPStatus.OK else {}
        except EngineDown as exc:
            if is_undone(exc):
                raise
            raise MaybeStarted(str(exc)) from exc
        if reply.missing:
            raise Permanent(f"the engine has no {wanted}: {describe(reply)}")
        if reply.status != HTTPStatus.OK:
            raise refusal(reply)
        return str(started.get("id"))

    async def look(self, instance: str) -> Run:
        """Tell how an instance stands, with those that it called; what ended where the history has it."""
        # Its end first: it may come at any moment, and of one that is over nothing changes any more.
        ended = await self._ended(instance)
        found: list[At] = []
        waiting, seen = [instance], {instance}
        top: list[dict[str, Any]] = []  # what the instance itself has been at
        while waiting:
            each = waiting.pop(0)
            rows, tasks, wrong = await asyncio.gather(
                self._rows("/history/activity-instance", each, sortBy="startTime", sortOrder="desc"),
                self._rows("/external-task", each),
                self._rows("/incident", each),
            )
            top = rows if each == instance else top
            found += _merged(rows[::-1], tasks, wrong)
            called = [str(row["calledProcessInstanceId"]) for row in rows if row.get("calledProcessInstanceId")]
            waiting += [other for other in called if other not in seen][: MOST_CALLED - len(seen)]
            seen |= {*waiting}
        if ended is None:
            return Run(found)
        end, why = await self._end(instance, ended, top)
        return Run(found, end, why)

    async def variables(self, instance: str) -> list[Held]:
        """Return the variables that an instance has, or had at its end, by name."""
        wanted = {"processInstanceId": instance, "deserializeValues": "false", "sortBy": "variableName"}
        rows = self._lists.rows("/history/variable-instance", wanted | {"sortOrder": "asc"}, most=MOST)
        return [
            Held(str(row.get("name")), str(row.get("type")), row.get("value"))
            async for row in rows
            if row.get("activityInstanceId") == instance  # others belong to an activity, and went with it
        ]

    async def _rows(self, path: str, instance: str, **more: str) -> list[dict[str, Any]]:
        return [row async for row in self._lists.rows(path, {"processInstanceId": instance, **more}, most=MOST)]

    async def _ended(self, instance: str) -> Mapping[str, Any] | None:
        """Return what the history has of an instance that is over, empty where it keeps none; None while it runs."""
        past = await self._transport.send("GET", f"/history/process-instance/{quote(instance, safe='')}")
        if past.missing:
            runs = await self._transport.send("GET", f"/process-instance/{quote(instance, safe='')}")
            return {} if runs.missing else None
        row = past.value(dict)
        return None if row.get("endTime") is None else row

    async def _end(
        self, instance: str, ended: Mapping[str, Any], activities: Sequence[Mapping[str, Any]]
    ) -> tuple[End, str]:
        """Say how it ended, and what brought that about."""
        if not ended:
            return "unknown", "the engine keeps no history of it"
        end = _STATES.get(str(ended.get("state")), "unknown")
        if end == "terminated":
            return end, str(ended.get("deleteReason") or "")
        own = [each for each in activities if each.get("parentActivityInstanceId") == instance]
        for each in own:
            # An instance is completed, too, where an error that nobody catches has ended it.
            if each.get("activityType") in _ENDS and not each.get("canceled"):
                return _ENDS[str(each["activityType"])], f"it reached {_called(each)}"
        lost = await self._lost(instance, activities)
        return ("error", f"nothing caught the BPMN error of {', '.join(lost)}") if lost else (end, "")

    async def _lost(self, instance: str, activities: Sequence[Mapping[str, Any]]) -> list[str]:
        """Name tasks that are over, were not interrupted, and that no worker has completed.

        Such an error ends its path without a word. At history levels below `full` nothing is known of any.
        """
        logs = {}
        for kind in ("creationLog", "successLog"):
            rows = await self._rows("/history/external-task-log", instance, **{kind: "true"})
            logs[kind] = {row.get("activityInstanceId") for row in rows}
        lost = logs["creationLog"] - logs["successLog"]
        return [_called(each) for each in activities if each.get("id") in lost and not each.get("canceled")]


def _merged(
    rows: Sequence[Mapping[str, Any]], tasks: Sequence[Mapping[str, Any]], wrong: Sequence[Mapping[str, Any]]
) -> list[At]:
    """Join what the history has with the tasks and incidents of now, in the order in which things began."""
    task_of = {str(each.get("activityInstanceId")): each for each in tasks}
    incident_of = {str(each.get("configuration")): each for each in wrong}
    known: list[At] = []
    told = set[str]()
    for row in rows:
        task = task_of.pop(str(row.get("id")), None)
        incident = incident_of.get(str(task.get("id"))) if task is not None else None
        if incident is not None:
            told.add(str(incident.get("id")))
        known.append(_at(row, task, incident))
    known += [_at(_as_row(task), task, incident_of.get(str(task.get("id")))) for task in task_of.values()]
    told |= {str(incident_of[id_].get("id")) for id_ in (str(each.get("id")) for each in tasks) if id_ in incident_of}
    # Incidents of jobs; those that a called process has handed up are told of the task there.
    for each in wrong:
        if str(each.get("id")) not in told and each.get("causeIncidentId") in {None, each.get("id")}:
            activity = str(each.get("failedActivityId") or each.get("activityId"))
            known.append(At(str(each.get("id")), activity, "", "incident", "incident", _message(each)))
    return known


def _as_row(task: Mapping[str, Any]) -> Mapping[str, Any]:
    """Write a task as the history would, which is not kept."""
    definition = task.get("processDefinitionId")
    return {"id": task.get("id"), "activityId": task.get("activityId"), "processDefinitionId": definition}


def _at(row: Mapping[str, Any], task: Mapping[str, Any] | None, incident: Mapping[str, Any] | None) -> At:
    stand, message, worker = _stand(row), "", ""
    if incident is not None:
        stand, message = "incident", _message(incident)
    elif task is not None:
        worker = str(task.get("workerId") or "")
        stand, message = _of_task(task), str(task.get("errorMessage") or "")
        worker = worker if stand == "running" else ""
    return At(
        id=str(row.get("id")),
        activity=str(row.get("activityId")),
        name=" ".join(str(row.get("activityName") or "").split()),
        kind=str(row.get("activityType") or "serviceTask"),
        stand=stand,
        message=message,
        worker=worker,
        definition_id=str(row.get("processDefinitionId") or ""),
        began=wire.time_or_none(row.get("startTime")),
        ended=wire.time_or_none(row.get("endTime")),
    )


def _stand(row: Mapping[str, Any]) -> Stand:
    if row.get("endTime") is None:
        return "waiting"
    return "cancelled" if row.get("canceled") is True else "done"


def _of_task(task: Mapping[str, Any]) -> Stand:
    if task.get("suspended") is True:
        return "suspended"
    until = wire.time_or_none(task.get("lockExpirationTime"))
    # By our clock against the engine's: nothing is decided by it.
    if task.get("workerId") and until is not None and until > datetime.now(UTC):
        return "running"
    return "again" if task.get("errorMessage") else "waiting"


def _message(incident: Mapping[str, Any]) -> str:
    return str(incident.get("incidentMessage") or incident.get("incidentType") or "")


def _called(row: Mapping[str, Any]) -> str:
    return str(row.get("activityName") or row.get("activityId"))
