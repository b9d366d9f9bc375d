"""Follows an instance: each step's progress as it happens, and how it ends."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Final, TypeVar

from worker.domain.runs import At, Run
from worker.engine import RestEngine
from worker.errors import EngineDenied, EngineDown, WorkerError

T = TypeVar("T")

SOON: Final = 0.2
"""Seconds until the next look where something has just happened."""
LATEST: Final = 5.0
GROWTH: Final = 1.5
MOST_IN_VAIN: Final = 60
"""Looks in a row that get no answer; about five minutes."""
_SHOWN: Final = ("Task", "task", "callActivity", "incident", "errorEndEvent", "terminateEndEvent")
"""Ends the kinds of activities that are told of; gateways and other events are passed without a word."""


class Following:
    """Looks again and again, and tells what is new; the longer nothing is, the less often."""

    def __init__(self, engine: RestEngine, tell: Callable[[str], None]) -> None:
        self._engine = engine
        self._tell = tell
        self._told: dict[str, str] = {}
        self._ours: dict[tuple[str, str], str] = {}

    async def until_over(self, instance: str) -> Run:
        """Return when it is over, or has an incident. Raises EngineDown where the engine is away for minutes."""
        pause = SOON
        while True:
            run = await self.asked(lambda: self._engine.runs.look(instance))
            is_new = [await self._say(each) for each in run.activities]
            if run.end is not None or any(each.stand == "incident" for each in run.activities):
                return run
            pause = SOON if any(is_new) else pause
            await asyncio.sleep(pause)
            pause = min(LATEST, pause * GROWTH)

    async def asked(self, read: Callable[[], Awaitable[T]]) -> T:
        """Return what the engine says; asked again while it is away. Raises EngineDown after minutes of that."""
        pause, in_vain = SOON, 0
        while True:
            try:
                return await read()
            except EngineDenied:
                raise
            except EngineDown as exc:
                in_vain += 1
                if in_vain == 1:
                    self._tell(f"No answer, it is asked again: {exc}")
                if in_vain >= MOST_IN_VAIN:
                    raise
            await asyncio.sleep(pause)
            pause = min(LATEST, pause * GROWTH)

    async def _say(self, at: At) -> bool:
        """Tell of an activity if that is news; whether it is."""
        if not at.kind.endswith(_SHOWN):
            return False
        said = _said(at)
        if self._told.get(at.id) == said:
            return False
        self._told[at.id] = said
        time = at.ended or datetime.now(UTC)
        whose = await self._assistant(at)
        label = f'{at.activity} "{at.name}"' if at.name else at.activity
        self._tell(f"{time.astimezone():%H:%M:%S}  {label}{whose}: {said}")
        return True

    async def _assistant(self, at: At) -> str:
        """Say which assistant a task is for, as far as its model can be read; empty where it is for none."""
        place = (at.definition_id, at.activity)
        if place not in self._ours:
            self._ours[place] = ""
            try:
                definition = await self._engine.definition(at.definition_id) if at.definition_id else None
            except WorkerError:  # a right is missing, or it is not to be read: the step is followed all the same
                definition = None
            activity = definition.activities.get(at.activity) if definition is not None else None
            if activity is not None and activity.is_ours:
                self._ours[place] = f" [{activity.said('service.name') or 'decision record'}]"
        return self._ours[place]


_WORDS: Final[Mapping[str, str]] = {
    "waiting": "waiting",
    "suspended": "suspended",
    "cancelled": "cancelled",
    "running": "running",
}


def _said(at: At) -> str:
    match at.stand:
        case "done":
            took = f" after {(at.ended - at.began).total_seconds():.1f} s" if at.ended and at.began else ""
            return f"done{took}" if not at.kind.endswith("EndEvent") else "reached"
        case "incident":
            return f"incident: {at.message}"
        case "again":
            return f"failed, and is tried again: {at.message}"
        case "waiting" if at.kind == "userTask":
            return "waits for a person"
        case "waiting" if at.kind == "callActivity":
            return "called"
    return _WORDS[at.stand]
