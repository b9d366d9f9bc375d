"""Process instances over REST: which run or ran, what they have to do, and variables that may be taken from them."""

import json
import re
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import structlog

from worker.domain import meta
from worker.domain.decisions import HASH_SUFFIX, TEXT_SUFFIX
from worker.domain.endings import Trace
from worker.domain.handovers import MARKER, read_marker
from worker.domain.processes import Result
from worker.domain.tasks import META_SUFFIX, THREAD_VARIABLE
from worker.domain.watching import TaskSeen
from worker.engine.failures import describe
from worker.engine.info import told_at
from worker.engine.lists import Lists
from worker.engine.transport import Transport
from worker.errors import EngineDown
from worker.runtime.portions import portions
from worker.telemetry.logs import Event

AT_ONCE = 200
"""Ids in one question."""
MOST_TASKS = 1000
"""Of so many instances; whoever has more sees no more of them."""
MOST_RESULTS = 50

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ThreadTrace:
    """A process variable that names a thread."""

    instance: str
    tenant: str | None
    name: str
    value: str


class RestInstances:
    """Implements `ports.ending.Instances` and `ports.watching.Tasks`.

    What the engine's user may not read is as if it were not there.
    """

    def __init__(self, transport: Transport, lists: Lists) -> None:
        self._transport = transport
        self._lists = lists

    async def now(self) -> datetime | None:
        """See `ports.ending.Instances.now`."""
        return told_at((await self._transport.send("GET", "/version")).headers)

    async def running(self, ids: Collection[str]) -> frozenset[str]:
        """See `ports.ending.Instances.running`."""
        found: set[str] = set()
        for some in portions(sorted(ids), AT_ONCE):
            async for row in self._rows("/process-instance", {"processInstanceIds": some}):
                found.add(str(row.get("id")))
        return frozenset(found)

    async def ended(self, ids: Collection[str]) -> Mapping[str, datetime | None]:
        """See `ports.ending.Instances.ended`."""
        found: dict[str, datetime | None] = {}
        for some in portions(sorted(ids), AT_ONCE):
            async for row in self._rows("/history/process-instance", {"processInstanceIds": some}):
                found[str(row.get("id"))] = _end(row)
        return found

    async def waiting(self, instances: Collection[str]) -> Mapping[str, Sequence[TaskSeen]]:
        """See `ports.watching.Tasks.waiting`."""
        found: dict[str, list[TaskSeen]] = {}
        for some in portions(sorted(instances), AT_ONCE):
            rows = self._lists.rows("/external-task", {}, {"processInstanceIdIn": some}, most=MOST_TASKS)
            async for row in rows:
                found.setdefault(str(row.get("processInstanceId")), []).append(_task(row))
        return found

    async def runs_with(self, business_key: str, tenants: frozenset[str | None] | None = None) -> bool:
        """See `ports.ending.Instances.runs_with`."""
        for whose in _of_tenants(tenants):
            async for _ in self._rows("/process-instance", {"businessKey": business_key, **whose}, most=1):
                return True
        return False

    async def ran_with(
        self, business_key: str, tenants: frozenset[str | None] | None = None
    ) -> Mapping[str, datetime | None]:
        """See `ports.ending.Instances.ran_with`."""
        found: dict[str, datetime | None] = {}
        for whose in _of_tenants(tenants):
            wanted = {"processInstanceBusinessKey": business_key, **whose}
            async for row in self._rows("/history/process-instance", wanted):
                found[str(row.get("id"))] = _end(row)
        return found

    async def thread_variables(self, most: int) -> list[ThreadTrace]:
        """Find variables of instances that run which name threads, so many at most. Raises EngineDown."""
        rows = self._rows("/variable-instance", {"variableNameLike": f"{THREAD_VARIABLE}%"}, most=most)
        return [
            ThreadTrace(str(row["processInstanceId"]), row.get("tenantId"), str(row["name"]), row["value"])
            async for row in rows
            if str(row.get("name")).startswith(THREAD_VARIABLE) and isinstance(row.get("value"), str)
        ]

    async def traces(self, instance: str, *, results: bool = False) -> list[Trace]:
        """See `ports.ending.Instances.traces`."""
        found: dict[tuple[str, bool], Trace] = {}
        # By names, and not all of an instance's variables: values may be megabytes each, and most are none of ours.
        for pattern in (f"{THREAD_VARIABLE}%", f"%{META_SUFFIX}", f"{MARKER}%"):
            for past in (True, False):
                ours = [row async for row in self._variables(instance, past, variableNameLike=pattern) if _is_ours(row)]
                told = [each for row in ours async for each in self._results(instance, past, row)] if results else []
                found |= {
                    (row["id"], past): _trace(row, "", past=past) for row in told
                }  # its value is nobody's business
                # Last: what both have keeps its value, by which the conversation is found.
                found |= {(row["id"], past): _trace(row, row["value"], past=past) for row in ours}
        if results:
            for past in (True, False):
                async for row in self._words_of_records(instance, past):
                    found.setdefault((row["id"], past), _trace(row, "", past=past))
        return list(found.values())

    async def _words_of_records(self, instance: str, past: bool) -> AsyncIterator[dict[str, Any]]:
        """Find the words of decisions' records, each by the hash that was written together with it."""
        async for beside in self._variables(instance, past, variableNameLike=f"%{HASH_SUFFIX}"):
            if re.fullmatch("[0-9a-f]{64}", str(beside.get("value"))):
                name = str(beside["name"]).removesuffix(HASH_SUFFIX) + TEXT_SUFFIX
                async for row in self._variables(instance, past, variableName=name):
                    if row.get("executionId") == beside.get("executionId"):
                        yield row

    async def _results(self, instance: str, past: bool, beside: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Find the variables that a meta variable or a marker tells of, which were written together with it."""
        for each in _told_by(str(beside["name"]), beside["value"]):
            async for row in self._variables(instance, past, variableName=each):
                # By the execution: parallel branches may each have a local variable of this name.
                if row.get("executionId") == beside.get("executionId"):
                    yield row

    async def results(self, instance: str) -> list[Result]:
        """Return what assistants' answers were put into, the newest first, MOST_RESULTS at most. Raises EngineDown.

        Only what stands beside a meta variable of ours: the other variables of a process are nobody's business.
        """
        # The history first, which has what ended, too; at its level none only what runs has variables.
        for past in (True, False):
            metas = self._variables(instance, past, variableNameLike=f"%{META_SUFFIX}")
            ours = [row async for row in metas if _is_ours(row)]
            found = {row["id"]: row for beside in ours for row in await self._told(instance, past, beside)}
            if found:
                break
        newest = sorted(found.values(), key=lambda row: str(row.get("createTime")), reverse=True)
        return [_result(row) for row in newest[:MOST_RESULTS]]

    async def _told(self, instance: str, past: bool, beside: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [row async for row in self._results(instance, past, beside)]

    async def wipe(self, trace: Trace) -> None:
        """See `ports.ending.Instances.wipe`."""
        if trace.past:
            reply = await self._transport.send("DELETE", f"/history/variable-instance/{quote(trace.id, safe='')}")
        else:
            # Where it stands: asked by the instance, engines find what is in its outermost scope alone.
            place = f"/execution/{quote(str(trace.execution), safe='')}/localVariables/{quote(trace.name, safe='')}"
            reply = await self._transport.send("DELETE", place)
        if not reply.missing and not reply.done and not await self._is_over(trace):
            raise EngineDown(f"the engine does not delete a variable: {describe(reply)}")

    async def _is_over(self, trace: Trace) -> bool:
        """Whether a variable went with its execution: for that the engine says 500, not 404."""
        if trace.past:
            return False
        path = f"/variable-instance/{quote(trace.id, safe='')}"
        return (await self._transport.send("GET", path)).missing

    def _variables(self, instance: str, past: bool, **wanted: str) -> AsyncIterator[dict[str, Any]]:
        """Read variables by the engine's own words; its patterns are SQL's, in which _ stands for any character."""
        whose = {"processInstanceId": instance} if past else {"processInstanceIdIn": [instance]}
        path = f"{'/history' if past else ''}/variable-instance"
        return self._rows(path, {**whose, **wanted})

    def _rows(self, path: str, wanted: Mapping[str, Any], most: int | None = None) -> AsyncIterator[dict[str, Any]]:
        # To instances this means nothing; values of variables stay texts by it.
        return self._lists.rows(path, {"deserializeValues": "false"}, wanted, most=most)


def _of_tenants(tenants: frozenset[str | None] | None) -> Iterator[dict[str, Any]]:
    """Conditions, one of which holds for these tenants: no engine takes both in one question."""
    if tenants is None:
        yield {}
        return
    if None in tenants:
        yield {"withoutTenantId": True}
    if named := sorted(tenant for tenant in tenants if tenant is not None):
        yield {"tenantIdIn": named}


def _task(row: Mapping[str, Any]) -> TaskSeen:
    retries = row.get("retries")
    return TaskSeen(
        id=str(row.get("id")),
        activity_id=str(row.get("activityId")),
        tenant=row.get("tenantId"),
        retries=retries if isinstance(retries, int) else None,
        problem=str(row.get("errorMessage") or ""),
        definition_key=str(row.get("processDefinitionKey") or ""),
    )


def _result(row: Mapping[str, Any]) -> Result:
    value = row.get("value")
    if value is not None and not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False)
    if value is None and row.get("type") == "Null":
        value = ""
    at = row.get("createTime")
    return Result(str(row["name"]), value, _read_time(at) if at else None)


def _trace(row: Mapping[str, Any], value: str, *, past: bool) -> Trace:
    return Trace(str(row["id"]), str(row["name"]), value, row.get("executionId"), past)


def _told_by(name: str, value: Any) -> tuple[str, ...]:
    """Name what was written together with a variable of ours."""
    if (told := meta.read(name, value)) is not None:
        return (name.removesuffix(META_SUFFIX), *told.fields)
    marker = read_marker(name, value)
    return () if marker is None else (marker.variable,)


def _is_ours(row: Mapping[str, Any]) -> bool:
    """Whether we wrote this variable: processes have names of their own that end in _meta."""
    name, value = str(row.get("name")), row.get("value")
    if name.startswith(THREAD_VARIABLE):
        return isinstance(value, str)
    if meta.read(name, value) is not None or read_marker(name, value) is not None:
        return True
    if meta.is_broken(name, value):
        log.warning(Event.VARIABLE_SKIPPED, variable=name, process_instance_id=row.get("processInstanceId"))
    return False


def _read_time(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None


def _end(row: Mapping[str, Any]) -> datetime | None:
    """Read when an instance ended; one whose time cannot be read counts as running, which touches nothing of it."""
    at = _read_time(row["endTime"]) if row.get("endTime") else None
    if at is None and row.get("endTime"):
        log.warning(Event.END_DELAYED, what=str(row.get("id")), reason="its endTime has another form than engines give")
    return at
