"""Process instances that run or ran, and variables that may be taken from them, over REST: `erasure.Instances`."""

import json
from collections.abc import AsyncIterator, Collection, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from worker.domain import THREAD_VARIABLE
from worker.engine.failures import Reply, describe
from worker.engine.transport import Transport
from worker.erasure import Trace
from worker.errors import EngineDown

AT_ONCE = 200
"""Ids in one question, and rows in one answer: engines may be set up to refuse answers without a limit."""
META = "_meta"
_META_FACTS = ({"assistant", "version", "thread"}, {"thread", "too_long"})


class RestInstances:
    """Implements `erasure.Instances`. What the engine's user may not read is as if it were not there."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def running(self, ids: Collection[str]) -> frozenset[str]:
        """See `erasure.Instances.running`."""
        found: set[str] = set()
        for some in _portions(ids):
            rows = await self._ask("/process-instance", {"processInstanceIds": some})
            found.update(str(row.get("id")) for row in rows)
        return frozenset(found)

    async def ended(self, ids: Collection[str]) -> Mapping[str, datetime]:
        """See `erasure.Instances.ended`."""
        found: dict[str, datetime] = {}
        for some in _portions(ids):
            rows = await self._ask("/history/process-instance", {"processInstanceIds": some})
            found |= {str(row.get("id")): _time(row["endTime"]) for row in rows if row.get("endTime")}
        return found

    async def runs_with(self, business_key: str) -> bool:
        """See `erasure.Instances.runs_with`."""
        return bool(await self._ask("/process-instance", {"businessKey": business_key}, most=1))

    async def ran_with(self, business_key: str) -> Mapping[str, datetime | None]:
        """See `erasure.Instances.ran_with`."""
        wanted = {"processInstanceBusinessKey": business_key}
        rows = [row async for row in self._pages("/history/process-instance", wanted)]
        return {str(row.get("id")): _time(row["endTime"]) if row.get("endTime") else None for row in rows}

    async def traces(self, instance: str) -> list[Trace]:
        """See `erasure.Instances.traces`."""
        found: dict[tuple[str, bool], Trace] = {}
        for pattern in (f"{THREAD_VARIABLE}%", f"%{META}"):
            for past in (True, False):
                for row in await self._variables(instance, pattern, past=past):
                    if _is_ours(row):
                        trace = Trace(str(row["id"]), str(row["name"]), row["value"], row.get("executionId"), past)
                        found[trace.id, past] = trace
        return list(found.values())

    async def wipe(self, trace: Trace) -> None:
        """See `erasure.Instances.wipe`."""
        if trace.past:
            reply = await self._transport.send("DELETE", f"/history/variable-instance/{quote(trace.id, safe='')}")
        else:
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

    async def _variables(self, instance: str, pattern: str, *, past: bool) -> list[dict[str, Any]]:
        """Read variables by a pattern of SQL's, in which _ stands for any character."""
        wanted = {"processInstanceId" if past else "processInstanceIdIn": instance, "variableNameLike": pattern}
        path = f"{'/history' if past else ''}/variable-instance?{urlencode(wanted | {'deserializeValues': 'false'})}"
        rows: list[dict[str, Any]] = (await self._transport.send("GET", path)).value(list)
        return rows

    async def _ask(self, path: str, wanted: Mapping[str, Any], most: int = AT_ONCE, first: int = 0) -> list[Any]:
        paging = urlencode({"firstResult": first, "maxResults": most})
        reply: Reply = await self._transport.send("POST", f"{path}?{paging}", wanted)
        if reply.status != HTTPStatus.OK:
            raise EngineDown(f"the engine does not tell which instances there are: {describe(reply)}")
        return reply.value(list)

    async def _pages(self, path: str, wanted: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        sorting = {"sorting": [{"sortBy": "instanceId", "sortOrder": "asc"}]}
        first = 0
        while rows := await self._ask(path, {**wanted, **sorting}, first=first):
            for row in rows:
                yield row
            first += len(rows)
            if len(rows) < AT_ONCE:
                return


def _portions(ids: Collection[str]) -> list[list[str]]:
    ordered = sorted(ids)
    return [ordered[start : start + AT_ONCE] for start in range(0, len(ordered), AT_ONCE)]


def _is_ours(row: Mapping[str, Any]) -> bool:
    """Whether we wrote this variable: processes have names of their own that end in _meta."""
    name, value = str(row.get("name")), row.get("value")
    if not isinstance(value, str):
        return False
    if name.startswith(THREAD_VARIABLE):
        return True
    try:
        facts = json.loads(value)
    except ValueError:
        return False
    return name.endswith(META) and isinstance(facts, dict) and any(facts.keys() >= ours for ours in _META_FACTS)


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError) as exc:
        raise EngineDown("the engine's times have another form than engines give them") from exc
