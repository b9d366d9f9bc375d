"""Whether process instances run now. The transcript hears of an end minutes later; the page asks the engine."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from worker.errors import ReadRefused, Transient
from worker.runtime.clock import monotonic
from worker.web.page.processes import Processes, why_not

FRESH_SECONDS = 5.0
"""An answer is good for so long, and so is its absence."""
PATIENCE_SECONDS = 3.0
MOST_KNOWN = 10_000


@dataclass(frozen=True, slots=True)
class Told:
    """Which of the instances run, those only that the engine knows. `problem` says why it may know more."""

    runs: Mapping[str, bool] = field(default_factory=dict)
    problem: str = ""


class Standing:
    """What one engine said of its instances in the last seconds."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._known: dict[str, tuple[bool | None, float]] = {}
        self._failed_at = float("-inf")
        self._problem = ""

    async def of(self, instances: Collection[str]) -> Told:
        """Tell of these. Never raises, and takes PATIENCE_SECONDS at most."""
        now = monotonic()
        fresh = {each: self._known[each][0] for each in instances if self._is_fresh(each, now)}
        missing = set(instances) - fresh.keys()
        if missing and now - self._failed_at >= FRESH_SECONDS:
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    told = await self._processes.running(missing)
            except (Transient, ReadRefused, TimeoutError) as exc:
                self._failed_at, self._problem = monotonic(), why_not(exc)
            else:
                fresh |= {each: told.get(each) for each in missing}
                self._keep(fresh)
                missing = set()
        return Told({each: runs for each, runs in fresh.items() if runs is not None}, self._problem if missing else "")

    def _is_fresh(self, instance: str, now: float) -> bool:
        return instance in self._known and now - self._known[instance][1] < FRESH_SECONDS

    def _keep(self, told: Mapping[str, bool | None]) -> None:
        if len(self._known) + len(told) > MOST_KNOWN:
            self._known.clear()
        now = monotonic()
        self._known |= {each: (runs, now) for each, runs in told.items() if not self._is_fresh(each, now)}
