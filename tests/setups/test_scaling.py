"""A scaler that starts and stops workers by the engine's count of open tasks, as KEDA would, and picks any of them."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from tests.faults.checkers import Explained, check
from tests.faults.history import Exchange
from tests.faults.world import Worker, World, databases, open_world
from tests.nursery import Nursery
from tests.rest import EngineRest
from worker.demo.servers import Valkey

LEAST, MOST = 1, 5
SLOTS = 10
TASKS_EACH = 2 * SLOTS
LOOK_SECONDS = 1.0
STARTERS = 8
MODEL = timedelta(seconds=2)


@pytest.fixture
async def world(engine_rest: EngineRest, nursery: Nursery, valkey: Valkey, tmp_path: Path) -> AsyncIterator[World]:
    """A world whose model takes two seconds."""
    async with open_world(engine_rest, nursery, valkey, next(databases), tmp_path) as world:
        world.model.latency = MODEL
        yield world


@dataclass(slots=True)
class Scaler:
    """Looks each second how many workers there should be. What it stops gets SIGTERM and its grace, nothing else."""

    world: World
    grace_seconds: int
    began: float = field(default_factory=monotonic)
    leaving: list[Worker] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    most: int = 0
    seconds: float = 0.0

    async def start(self) -> Worker:
        """Start one more."""
        return await self.world.start_worker(max_tasks=SLOTS, grace_seconds=self.grace_seconds)

    async def run(self) -> None:
        """Scale until nothing is open and a single worker is left."""
        dice = random.Random(7)  # noqa: S311 - a schedule that can be repeated
        while True:
            count = await self.count()
            there = [each for each in self.world.workers if each not in self.leaving]
            wanted = max(LEAST, min(MOST, ceil(count / TASKS_EACH)))
            for _ in range(wanted - len(there)):
                await self.start()
            for each in dice.sample(there, max(0, len(there) - wanted)):
                each.child.signal(signal.SIGTERM)
                self.leaving.append(each)
            self.most = max(self.most, wanted)
            if wanted != len(there):
                self.steps.append(f"{monotonic() - self.began:.0f} s: {count} open, {len(there)} -> {wanted}")
            if count == 0 and wanted == LEAST:
                self.seconds = monotonic() - self.began
                return
            await asyncio.sleep(LOOK_SECONDS)

    def lines(self, verdict: str) -> list[dict[str, Any]]:
        """Lines of turns with this verdict."""
        return [line for each in self.world.workers for line in each.lines("turn") if line["verdict"] == verdict]

    def __str__(self) -> str:
        """What it did, and what the workers said of it."""
        found = [line for line in self.lines("complete") if line.get("recovered")]
        return (
            f"{'; '.join(self.steps)}; over after {self.seconds:.0f} s; "
            f"{len(self.lines('unlock'))} turns were given back, {len(found)} answers found"
        )

    async def count(self) -> int:
        """What a scaler asks: tasks that wait or are locked, and are not dead or suspended."""
        wanted = {"topicName": self.world.rig.topic, "withRetriesLeft": True, "active": True}
        return int((await self.world.rest.get("external-task/count", **wanted))["count"])


async def scaled(world: World, tasks: int, grace_seconds: int) -> Scaler:
    """A backlog that is worked off by workers that come and go, and by a last one that has ended, too."""
    model = await world.rig.deploy(world.rig.step("one", data_input="-"))
    numbers = iter(range(tasks))

    async def starter() -> None:
        for _ in numbers:
            await world.start(model)

    await asyncio.gather(*(starter() for _ in range(STARTERS)))
    scaler = Scaler(world, grace_seconds)
    first = await scaler.start()
    assert await first.metric("worker_slots") == SLOTS
    await scaler.run()
    await world.ended(seconds=120)
    assert [await each.ended() for each in scaler.leaving] == [0] * len(scaler.leaving)
    await world.stop()
    assert scaler.most == MOST
    assert len(scaler.leaving) >= MOST - LEAST
    return scaler


def taken(world: World) -> list[Exchange]:
    """Calls that the provider took: it refuses one while another runs on the conversation, and nobody pays for that."""
    turns = world.history.of("provider", "^POST /responses$")
    return [each for each in turns if "conversation_locked" not in str(each.reply)]


@pytest.mark.timeout(400)
async def test_workers_that_come_and_go_with_the_backlog_lose_nothing_and_ask_nothing_twice(
    world: World, tell: Callable[[str], None]
) -> None:
    tasks = 500

    scaler = await scaled(world, tasks, grace_seconds=5)

    tell(f"{tasks} tasks of {MODEL.seconds} s, grace 5 s: {scaler}")
    assert len(world.history.of("provider", "^POST /responses$")) == tasks
    await check(world)


@pytest.mark.timeout(400)
async def test_a_grace_that_is_too_short_for_the_model_costs_no_retry_and_at_most_the_calls_it_cuts(
    world: World, tell: Callable[[str], None]
) -> None:
    """A call that lands just between the next worker's look at the thread and its own call is made once more."""
    tasks = 200

    scaler = await scaled(world, tasks, grace_seconds=1)

    paid = len(taken(world))
    tell(f"{tasks} tasks of {MODEL.seconds} s, grace 1 s: {scaler}; {paid - tasks} calls were paid twice")
    assert paid - tasks <= len(scaler.lines("unlock"))
    turns = world.history.of("provider", "^POST /responses$")
    await check(world, Explained(calls=1, locked=len(turns) - paid))
