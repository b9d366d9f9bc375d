"""The process instances below one, by call activities: from the history, or from what runs where there is none."""

import asyncio
from collections.abc import Mapping
from typing import Any

from worker.domain.processes import Called, Calls
from worker.engine.lists import Lists

MOST_CALLED = 500
AT_ONCE = 10
NO_HISTORY = "the engine keeps no history of it, or does not let the worker see it, so that only what runs is known"
TOO_MANY = f"there are more than {MOST_CALLED} of them"

_PAST, _RUNNING = "/history/process-instance", "/process-instance"
_CALLER = {_PAST: "superProcessInstanceId", _RUNNING: "superProcessInstance"}


async def below(lists: Lists, instance_id: str) -> Calls:
    """Find them, level by level. Raises EngineDown."""
    own = [row async for row in lists.rows(_PAST, {"processInstanceIds": instance_id}, most=1)]
    path, lacking = (_PAST, "") if own else (_RUNNING, NO_HISTORY)
    found: dict[str, Called] = {}
    level = [instance_id]
    while level:
        beneath = list[str]()
        for start in range(0, len(level), AT_ONCE):
            some = level[start : start + AT_ONCE]
            for called in await asyncio.gather(*(_by(lists, path, each) for each in some)):
                new = {each.id: each for each in called if each.id not in found and each.id != instance_id}
                beneath += new
                found |= new
            if len(found) > MOST_CALLED:
                return Calls(list(found.values())[:MOST_CALLED], TOO_MANY)
        level = beneath
    return Calls(list(found.values()), lacking)


async def _by(lists: Lists, path: str, caller: str) -> list[Called]:
    wanted = {_CALLER[path]: caller} | ({"sortBy": "startTime", "sortOrder": "asc"} if path == _PAST else {})
    # One more than is told, by which `below` sees that some are left out.
    rows = lists.rows(path, wanted, most=MOST_CALLED + 1)
    return [_read(row, caller) async for row in rows]


def _read(row: Mapping[str, Any], caller: str) -> Called:
    # What runs has no key in older engines, but a definition's id begins with it where it is short enough.
    definition = str(row.get("processDefinitionId") or row.get("definitionId") or "")
    key = row.get("processDefinitionKey") or row.get("definitionKey") or definition.partition(":")[0]
    return Called(str(row.get("id")), str(key), str(row.get("processDefinitionName") or ""), caller, definition)
