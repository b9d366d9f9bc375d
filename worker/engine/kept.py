"""What the engine's history keeps: its level is not told, but what runs now shows it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from worker.engine.lists import Lists


class Kept(StrEnum):
    """How much there is of what is known to have happened."""

    ALL = "all"
    SOME = "some"
    """Instances; of external tasks nothing, or there is none that would have to be there."""
    NOTHING = "nothing"
    UNKNOWN = "unknown"
    """Nothing runs that would have to be there."""


async def kept(lists: Lists) -> Kept:
    """Look whether something that runs is in the history. Raises EngineDown, EngineDenied."""
    instance = await _first(lists, "/process-instance", {})
    if instance is None:
        return Kept.UNKNOWN
    if await _first(lists, "/history/process-instance", {"processInstanceIds": str(instance.get("id"))}) is None:
        return Kept.NOTHING
    task = await _first(lists, "/external-task", {})
    if task is None:
        return Kept.SOME
    wanted = {"externalTaskId": str(task.get("id"))}
    return Kept.SOME if await _first(lists, "/history/external-task-log", wanted) is None else Kept.ALL


async def _first(lists: Lists, path: str, wanted: Mapping[str, str]) -> Mapping[str, Any] | None:
    async for row in lists.rows(path, wanted, most=1):
        return row
    return None
