"""A server that is away for minutes, under everything that a worker can have in hand."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tests.faults.checkers import Explained, check
from tests.faults.ground import Ground, peak_megabytes, say
from tests.faults.world import World
from tests.waiting import wait_until
from worker.demo.processes import Process

SLOTS = 6
"""Turns that a worker may run. There are two workers, so half of all turns end while the server is away."""
BRANCHES = 6
ROWS = 40
NOTICED_SECONDS = 30.0
"""How long after turns have ended a worker may take to see what is away. While all its slots are taken it fetches
nothing and need not see it."""
SETTLED_SECONDS = 5.0
"""So long after a server's end a call may still begin that was under way."""
READY_SECONDS = 60.0
END_SECONDS = 240.0
LOCKED = 4 * SLOTS
"""Turns that may meet one which runs: who fetches a task whose lock ran out asks before it can know."""


async def engine(ground: Ground, away: timedelta) -> dict[str, Any]:
    """Stop the engine. Whoever is asked meanwhile has the answer ready when it is back."""
    return await _Outage(ground.world, ground.engine, away).play()


async def redis(ground: Ground, away: timedelta) -> dict[str, Any]:
    """Stop Redis. The engine goes on, and is given new instances meanwhile."""
    outage = _Outage(ground.world, ground.valkey, away)
    facts = await outage.play(outage.more)
    assert outage.began == outage.asked, "a turn began without a decision on its thread"
    return facts


@dataclass(slots=True)
class _Outage:
    """One story. `began` and `asked` are the model's calls soon after the server went, and just before it came back.

    Times are monotonic seconds.
    """

    _world: World
    _server: Process
    _away: timedelta
    began: int = 0
    asked: int = 0
    _gone_at: float = 0.0
    _back_at: float = 0.0

    async def play(self, meanwhile: Callable[[], Awaitable[None]] | None = None) -> dict[str, Any]:
        world = self._world
        await self._fill()
        await asyncio.to_thread(self._server.stop)
        self._gone_at = time.monotonic()
        await self._be_without(meanwhile)
        await asyncio.to_thread(self._server.start)
        self._back_at = time.monotonic()
        for worker in world.workers:
            await wait_until(worker.is_ready, READY_SECONDS, "readiness")
        facts = self._facts()
        world.model.release("late")
        await world.ended(seconds=END_SECONDS)
        facts |= {"all_ended_after_seconds": self._since_back(), "model_calls": self._calls()}
        facts["worker_peak_megabytes"] = [peak_megabytes(worker) for worker in world.workers]
        await world.stop()
        await check(world, Explained(locked=LOCKED))
        return facts

    async def _be_without(self, meanwhile: Callable[[], Awaitable[None]] | None) -> None:
        seconds = self._away.total_seconds()
        say(f"{self._server.name} is stopped for {seconds:.0f} s, under {2 * SLOTS} running turns")
        ends_at = self._gone_at + seconds
        await asyncio.sleep(SETTLED_SECONDS)
        self.began = self._calls()
        await self._watch(self._gone_at + seconds / 3, unready_from=ends_at)
        self._world.model.release("early")
        if meanwhile:
            await meanwhile()
        await self._watch(ends_at, unready_from=time.monotonic() + NOTICED_SECONDS)
        self.asked = self._calls()

    def _facts(self) -> dict[str, Any]:
        minutes = (self._back_at - self._gone_at) / 60
        in_vain = [each for each in self._world.history.of("engine") if each.began > self._gone_at]
        knocks = sum(each.outcome == "withheld" for each in in_vain)
        return {
            "away_minutes": round(minutes, 1),
            "engine_requests_in_vain_a_minute_and_worker": round(knocks / minutes / len(self._world.workers)),
            "ready_again_after_seconds": self._since_back(),
            "instances": len(self._world.instances),
        }

    def _since_back(self) -> float:
        return round(time.monotonic() - self._back_at, 1)

    async def more(self) -> None:
        """Start instances that nobody can begin with yet."""
        model = await self._world.rig.deploy(self._world.rig.step("later"))
        for _ in range(5):
            await self._world.start(model)

    async def _fill(self) -> None:
        """Have every slot taken, branches waiting for their thread, and a backlog that nobody has fetched."""
        world = self._world
        world.rig.assistant(timeout=3000)
        for gate in ("early", "late"):
            world.model.fault("responses.create", times=SLOTS, hold=gate)
        fork = await world.rig.deploy([world.rig.step(f"branch{number}") for number in range(BRANCHES)])
        row = await world.rig.deploy(world.rig.step("one"), world.rig.step("two"))
        await asyncio.gather(*(world.start_worker(max_tasks=SLOTS, lock_seconds=30) for _ in range(2)))
        await world.start(fork)
        await world.turn_runs()
        for _ in range(ROWS):
            await world.start(row)
        await world.turn_runs(2 * SLOTS)

    async def _watch(self, until: float, unready_from: float) -> None:
        """Every worker is alive all the time, and says from then on that it is not ready."""
        while (now := time.monotonic()) < until:
            for worker in self._world.workers:
                assert (await worker.get("livez"))[0] == 200
                assert now < unready_from or not await worker.is_ready(), worker.id
            await asyncio.sleep(1)

    def _calls(self) -> int:
        return len(self._world.model.requests("responses.create"))
