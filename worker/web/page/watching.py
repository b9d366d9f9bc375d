"""What goes on at the engine, for all who look at once: each question is asked anew when its answer is seconds old."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from worker.domain.processes import Incident, Moved, Process, Step
from worker.errors import ReadRefused, Transient
from worker.runtime.clock import monotonic
from worker.web.page.processes import Processes, State, why_not

T = TypeVar("T")

FRESH_SECONDS = 2.0
NAMES_FRESH_SECONDS = 60.0
PATIENCE_SECONDS = 5.0
MOST_KNOWN = 1000


@dataclass(frozen=True, slots=True)
class Seen:
    """One instance: None where the engine does not know it. `problem` says why it may know more.

    `moved` is when somebody last moved it by a modification, as far as the engine notes who does what.
    """

    process: Process | None = None
    states: Mapping[str, State] = field(default_factory=dict)
    steps: Sequence[Step] = ()
    problem: str = ""
    moved: Moved | None = None


@dataclass(frozen=True, slots=True)
class GoingOn:
    """What runs, and what is wrong. `problem` as above."""

    processes: Sequence[Process] = ()
    incidents: Sequence[Incident] = ()
    problem: str = ""


Names = Mapping[tuple[str, str | None], str]
"""Names of processes, by key and tenant."""


def name_of(names: Names, key: str, tenant: str | None) -> str:
    """Return a process' name, a tenant's own before one of all tenants; empty where there is none."""
    return names.get((key, tenant)) or names.get((key, None)) or ""


class _Fresh(Generic[T]):
    """Answers that are good for some seconds, by what was asked. Those who ask meanwhile wait for the same one."""

    def __init__(self, ask: Callable[[str], Awaitable[T]], seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._known: dict[str, tuple[T, float]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(self, asked: str) -> T:
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
            self._locks = {name: lock for name, lock in self._locks.items() if lock.locked()}
        async with self._locks.setdefault(asked, asyncio.Lock()):
            value, at = self._known.get(asked, (None, float("-inf")))
            if value is None or monotonic() - at >= self._seconds:
                value = await self._ask(asked)
                self._known[asked] = (value, monotonic())
            return value


class Watching:
    """Asks one engine. `definitions` names the keys of those with tasks of ours. No method raises."""

    def __init__(self, processes: Processes, definitions: Callable[[], Awaitable[Collection[str]]]) -> None:
        self._processes = processes
        self._definitions = definitions
        self._instances = _Fresh(self._look_at, FRESH_SECONDS)
        self._running = _Fresh(self._look_around, FRESH_SECONDS)
        self._names = _Fresh(self._read_names, NAMES_FRESH_SECONDS)

    async def instance(self, instance_id: str) -> Seen:
        """Tell of one instance."""
        return await self._instances.get(instance_id)

    async def going_on(self) -> GoingOn:
        """Tell what runs and what is wrong."""
        return await self._running.get("")

    async def names(self) -> Names:
        """Tell the names of processes, by key and tenant; nothing where the engine cannot be asked."""
        return await self._names.get("")

    async def _look_at(self, instance_id: str) -> Seen:
        seen = Seen()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                seen = Seen((await self._processes.processes([instance_id])).get(instance_id))
                if seen.process is not None:
                    seen = replace(seen, states=await self._processes.activity_states(instance_id))
                if seen.process is not None and seen.process.is_active:
                    seen = replace(seen, steps=await self._processes.steps(instance_id))
                    seen = replace(seen, moved=await self._processes.moved(instance_id))
        except (Transient, ReadRefused, TimeoutError) as exc:
            seen = replace(seen, problem=why_not(exc))
        return seen

    async def _look_around(self, _: str) -> GoingOn:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                keys = await self._definitions()
                if not keys:
                    return GoingOn()
                running, wrong = await self._processes.going_on(keys), await self._processes.incidents(keys)
                missing = {each.instance for each in wrong} - {each.id for each in running}
                more = await self._processes.processes(missing) if missing else {}
                return GoingOn([*running, *more.values()], wrong)
        except (Transient, ReadRefused, TimeoutError) as exc:
            return GoingOn(problem=why_not(exc))

    async def _read_names(self, _: str) -> Names:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self._processes.names()
        except (Transient, ReadRefused, TimeoutError):
            return {}
