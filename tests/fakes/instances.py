"""Process instances that run or ran, with the variables of ours that they have."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tests.fakes.clock import now
from tests.fakes.script import Script
from worker.domain import meta
from worker.domain.endings import Trace
from worker.domain.handovers import read_marker
from worker.domain.tasks import META_SUFFIX, THREAD_VARIABLE


@dataclass(slots=True)
class Process:
    """One instance. One that is over without `ended_at` has an end that nobody can read."""

    business_key: str | None = None
    tenant: str | None = None
    runs: bool = True
    ended_at: datetime | None = None
    variables: dict[str, str] = field(default_factory=dict)


class FakeInstances:
    """`ports.ending.Instances`. Whoever is not in `processes` is in no history either."""

    def __init__(self) -> None:
        self.script = Script()
        self.processes: dict[str, Process] = {}
        self.clock: Callable[[], datetime | None] = now

    async def now(self) -> datetime | None:
        return self.clock()

    async def running(self, ids: Collection[str]) -> frozenset[str]:
        await self.script.reach("running", frozenset(ids))
        return frozenset(name for name in ids if name in self.processes and self.processes[name].runs)

    async def ended(self, ids: Collection[str]) -> Mapping[str, datetime | None]:
        await self.script.reach("ended", frozenset(ids))
        return {name: self.processes[name].ended_at for name in ids if name in self.processes}

    async def runs_with(self, business_key: str, tenants: frozenset[str | None] | None = None) -> bool:
        await self.script.reach("runs_with", business_key, tenants)
        return any(each.runs for each in self._with(business_key, tenants).values())

    async def ran_with(
        self, business_key: str, tenants: frozenset[str | None] | None = None
    ) -> Mapping[str, datetime | None]:
        await self.script.reach("ran_with", business_key, tenants)
        return {name: each.ended_at for name, each in self._with(business_key, tenants).items()}

    async def traces(self, instance: str, *, results: bool = False) -> list[Trace]:
        await self.script.reach("traces", instance, results)
        if instance not in self.processes:
            return []
        process, names = self.processes[instance], list[str]()
        for name, value in process.variables.items():
            told = meta.read(name, value)
            if told and results:
                names += [each for each in (name.removesuffix(META_SUFFIX), *told.fields) if each in process.variables]
            marker = read_marker(name, value)
            names += [marker.variable] if marker and results and marker.variable in process.variables else []
            if told or marker or name.startswith(THREAD_VARIABLE):
                names.append(name)
        return [
            Trace(f"{instance}/{name}", name, process.variables[name], instance, past=not process.runs)
            for name in names
        ]

    async def wipe(self, trace: Trace) -> None:
        await self.script.reach("wipe", trace)
        self.processes[trace.id.partition("/")[0]].variables.pop(trace.name, None)

    def _with(self, business_key: str, tenants: frozenset[str | None] | None) -> dict[str, Process]:
        return {
            name: each
            for name, each in self.processes.items()
            if each.business_key == business_key and (tenants is None or each.tenant in tenants)
        }
