"""Whether process instances run now. The transcript hears of an end minutes later; the page asks the engine."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from worker.errors import ReadRefused, Transient
from worker.runtime.clock import monotonic
from worker.web.page.processes import Running, why_not

FRESH_SECONDS = 5.0
"""An answer is good for so long, and so is its absence."""
PATIENCE_SECONDS = 3.0
MOST_KNOWN = 10_000


@dataclass(frozen=True, slots=True)
class Told:
    """Which of the instances run, those only that the engine knows, and which of these have incidents.

    `problem` says why it may know more.
    """

    runs: Mapping[str, bool] = field(default_factory=dict)
    failed: Sequence[str] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Known:
    """What was said of one instance, at a monotonic time. `runs` is None where the engine does not know it."""

    runs: bool | None
    failed: bool
    at: float


class Standing:
    """What one engine said of its instances in the last seconds."""

    def __init__(self, processes: Running) -> None:
        self._processes = processes
        self._known: dict[str, _Known] = {}
        self._failed_at = float("-inf")
        self._problem = ""

    async def of(self, instances: Collection[str]) -> Told:
        """Tell of these. Never raises, and takes PATIENCE_SECONDS at most."""
        now = monotonic()
        fresh = {each: self._known[each] for each in instances if self._is_fresh(each, now)}
        missing = set(instances) - fresh.keys()
        if missing and now - self._failed_at >= FRESH_SECONDS:
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    asked = await self._ask(missing)
            except (Transient, ReadRefused, TimeoutError) as exc:
                self._failed_at, self._problem = monotonic(), why_not(exc)
            else:
                fresh |= asked
                self._keep(asked)
                missing = set()
        runs = {each: known.runs for each, known in fresh.items() if known.runs is not None}
        failed = tuple(sorted(each for each, known in fresh.items() if known.failed))
        return Told(runs, failed, self._problem if missing else "")

    async def _ask(self, instances: Collection[str]) -> dict[str, _Known]:
        runs = await self._processes.running(instances)
        going_on = [each for each in instances if runs.get(each)]
        failed = await self._processes.failing(going_on) if going_on else frozenset()
        now = monotonic()
        return {each: _Known(runs.get(each), each in failed, now) for each in instances}

    def _is_fresh(self, instance: str, now: float) -> bool:
        return instance in self._known and now - self._known[instance].at < FRESH_SECONDS

    def _keep(self, told: Mapping[str, _Known]) -> None:
        if len(self._known) + len(told) > MOST_KNOWN:
            self._known.clear()
        self._known |= told
