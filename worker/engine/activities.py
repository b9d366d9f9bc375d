"""Where the activities of one process instance stand, from the engine's history and its open incidents."""

import asyncio
from collections.abc import Mapping
from typing import Any, Literal

from worker.engine.lists import Lists

State = Literal["done", "running", "failed", "cancelled"]

MOST_ROWS = 5000
"""Of an instance that loops more often than this the newest activities count."""
BODY = "#multiInstanceBody"
"""Behind an activity's id where engines mean all of its instances together: the history has a row for that, too."""
_RANK: Mapping[State, int] = {"cancelled": 0, "done": 1, "running": 2, "failed": 3}


async def states(lists: Lists, instance_id: str) -> dict[str, State]:
    """Tell the state of every activity that was reached; of several in one activity the gravest counts.

    Failed is what has an incident. An engine that keeps no history tells of incidents only. Raises EngineDown.
    """
    own = {"processInstanceId": instance_id}
    newest = {"sortBy": "startTime", "sortOrder": "desc"}
    # The history knows nothing of incidents: an activity that waits in one stands there as any other that runs.
    history, incidents = await asyncio.gather(
        _rows(lists, "/history/activity-instance", own | newest), _rows(lists, "/incident", own)
    )
    found: dict[str, State] = {}
    for row in history:
        _note(found, row.get("activityId"), _state(row))
    for row in incidents:
        _note(found, row.get("activityId"), "failed")
    return found


async def _rows(lists: Lists, path: str, wanted: Mapping[str, str]) -> list[dict[str, Any]]:
    return [row async for row in lists.rows(path, wanted, most=MOST_ROWS)]


def _state(row: Mapping[str, Any]) -> State:
    if row.get("endTime") is None:
        return "running"
    return "cancelled" if row.get("canceled") is True else "done"


def _note(found: dict[str, State], activity_id: Any, state: State) -> None:
    if not isinstance(activity_id, str):
        return
    activity_id = activity_id.removesuffix(BODY)
    if activity_id not in found or _RANK[state] > _RANK[found[activity_id]]:
        found[activity_id] = state
