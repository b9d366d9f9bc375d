"""Many faults at once, by a schedule that a seed repeats: `python -m tests.faults.storm --seed 7 --seconds 120`.

Several workers serve instances with steps in a row, with parallel branches on one thread, and with joins that collide,
while workers are killed, frozen and replaced, and engine, Redis and provider refuse, cut, delay and lie. Then the
weather clears, everything has to end, and the checkers look at what happened.

Among them are poisoned ones, of each sort of tests/poison.py: those end in what is said of them, or complete, and the
others have lost nothing.
"""

import argparse
import asyncio
import contextlib
import random
import secrets
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

from tests import poison
from tests.faults.checkers import Explained, complaints, completed_once, silent, turns_apart
from tests.faults.evidence import gather
from tests.faults.http_proxy import HttpProxy
from tests.faults.proxy import Proxy, Said
from tests.faults.redis_proxy import RedisProxy
from tests.faults.world import World, calmly, open_world
from tests.flow.gateway import Gateway, gateway
from tests.models import Model, ServiceTask
from tests.nursery import Nursery
from tests.poison import POISONS
from tests.rest import connect
from worker.demo.engine import Engine
from worker.demo.processes import running
from worker.demo.servers import Valkey

CLEARING_SECONDS = 150.0
"""How long everything may take to end afterwards: locks, pauses and parked tasks run out first."""
DEATHS_PER_RETRY = 3
"""After so many workers died under a task, it fails once."""

SORTS = [name for name, each in POISONS.items() if (each.said or each.completes) and not each.lasts]
"""What is heard of though nobody sets TROUBLE_FOR_SECONDS, within which no trouble of a storm's may be heard of."""
MANY_CALLS = {"service_calls": "100"}
"""Most calls are cut, and none is to be missed."""

ENGINE_TROUBLE: tuple[dict[str, Any], ...] = (
    {"cut": "before"},
    {"cut": "after"},
    {"say": Said(502, "<html>", "text/html")},
    {"say": Said(503), "acted": True},
    {"say": Said(200, "<html>", "text/html")},
    {"late": 1.0},
    {"wait": 1.0},
)
REDIS_TROUBLE: tuple[dict[str, Any], ...] = (
    {"cut": "before"},
    {"cut": "after"},
    {"say": "-READONLY You can't write against a read only replica."},
    {"say": "-LOADING Redis is loading the dataset in memory"},
    {"late": 0.5},
)
PROVIDER_TROUBLE: tuple[dict[str, Any], ...] = (
    {"cut": "before"},
    {"cut": "after"},
    {"say": Said(429, "{}", headers=(("Retry-After", "1"),))},
    {"say": Said(500, "{}")},
    {"say": Said(503, "{}"), "acted": True},
    {"say": Said(200, "<html>", "text/html"), "acted": True},
    {"late": 1.0},
)


@dataclass(frozen=True, slots=True)
class Gust:
    """One fault: when it begins, in seconds, what it is, how long it lasts, and a number for its own choices."""

    at: float
    kind: str
    seconds: float
    roll: int


KINDS = {
    "kill": 3,
    "stop": 1,
    "freeze": 2,
    "suspend": 1,
    "engine": 4,
    "redis": 3,
    "provider": 4,
    "engine down": 1,
    "redis down": 1,
    "provider down": 1,
}
"""What happens how often."""


def schedule(seed: int, seconds: float, every: float = 1.0) -> list[Gust]:
    """The same for the same seed; about one gust in `every` seconds."""
    dice = random.Random(seed)  # noqa: S311 - to be repeated
    gusts, at = [], dice.expovariate(1 / every)
    while at < seconds:
        [kind] = dice.choices([*KINDS], [*KINDS.values()])
        gusts.append(Gust(at, kind, dice.uniform(0.5, 3.0), dice.randrange(2**32)))
        at += dice.expovariate(1 / every)
    return gusts


class Storm:
    """One storm over one world."""

    def __init__(self, world: World, *, seed: int, seconds: float, workers: int) -> None:
        self.seed = seed
        self.gusts = schedule(seed, seconds)
        self.blown: Counter[str] = Counter()
        self.poisoned: dict[str, str] = {}
        self._world = world
        self._seconds = seconds
        self._workers = workers

    async def blow(self) -> None:
        """Raise AssertionError, with the way to repeat it, if a promise was broken."""
        world = self._world
        world.model.latency = timedelta(seconds=0.3)
        try:
            async with gateway(world.rest.base_url) as door:
                world.engine.stand_before(door.url)
                models = await self._models()
                poisons = await self._poisons(door)
                await asyncio.gather(*(world.start_worker(max_tasks=10) for _ in range(self._workers)))
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._feed(models), name="new instances")
                    group.create_task(self._feed_poison(poisons), name="new poisoned instances")
                    for gust in self.gusts:
                        group.create_task(self._gust(gust), name=f"{gust.kind} at {gust.at:.1f}")
                await self._clear()
                await world.ended(seconds=CLEARING_SECONDS)
                await asyncio.gather(*(self._has_ended(*each) for each in self.poisoned.items()))
                await world.stop()
            await self._check()
        except (AssertionError, ExceptionGroup) as exc:
            exc.add_note(f"repeat it: {self.repeat}\nwhat blew: {dict(self.blown)}\npoisoned: {self.poisoned}")
            raise

    async def _check(self) -> None:
        """The healthy ones have lost nothing; and nothing of the poisoned ones was done twice or told."""
        healthy = list(self._world.instances)
        self._world.instances += self.poisoned
        seen = await gather(self._world)
        told = complaints(seen.of(*healthy), Explained(retries=3 - self.blown["kill"] // DEATHS_PER_RETRY))
        for checker in (completed_once, turns_apart, silent):
            told += [f"{checker.__name__}, the poisoned ones too: {each}" for each in checker(seen)]
        assert not told, "\n".join(told)

    async def _has_ended(self, instance: str, name: str) -> None:
        def ended() -> Coroutine[Any, Any, bool]:
            return poison.has_ended(self._world.rig, instance, name)

        try:
            await calmly(ended, CLEARING_SECONDS, f"the end of {name}")
        except AssertionError as exc:
            exc.add_note(f"{await self._world.rest.tasks(instance)}\n{self._world.logs()[-4000:]}")
            raise

    @property
    def repeat(self) -> str:
        """The command for the same schedule."""
        options = f"--seed {self.seed} --seconds {self._seconds:g} --workers {self._workers}"
        return f"python -m tests.faults.storm {options}"

    async def _models(self) -> list[Model]:
        rig = self._world.rig
        for name in ("critic", "judge"):
            rig.assistant(name)
        names = ("analyst", "critic", "judge")

        def step(activity: str, assistant: str = "analyst") -> ServiceTask:
            return rig.step(activity, assistant, **MANY_CALLS)

        row = await rig.deploy(*(step(f"step{number}") for number in range(3)))
        fork = await rig.deploy(step("before"), [step(f"branch{number}") for number in range(3)])
        join = await rig.deploy([replace(step(f"by_{name}", name), async_after=False) for name in names])
        return [row, fork, join]

    async def _poisons(self, door: Gateway) -> list[tuple[str, Model]]:
        """Deploy one process of each sort, in the seed's order, and have the workers serve their topics."""
        rig, names = self._world.rig, SORTS.copy()
        random.Random(self.seed).shuffle(names)  # noqa: S311 - to be repeated
        wishes = {"service_retries": "2", "service_retries_delay": "PT1S", **MANY_CALLS}
        poisons = [(name, await poison.deploy(rig, door, name, **wishes)) for name in names]
        await rig.rest.start(await poison.deploy_unwritable(rig, door))
        topics = [rig.topic, *(poison.topic_of(rig, name) for name in (*names, "unwritable"))]
        rig.settings |= {"topics": ",".join(topics), "input_tokens": 10_000}
        return poisons

    async def _feed_poison(self, poisons: list[tuple[str, Model]]) -> None:
        """A new poisoned instance every two seconds, until the last gust."""
        ends_at = time.monotonic() + self._seconds
        for name, model in cycle(poisons):
            if time.monotonic() >= ends_at:
                break
            self.poisoned[await self._world.rest.start(model, POISONS[name].variables)] = name
            await asyncio.sleep(2)  # the pace is what a storm is made of, and nothing is waited for

    async def _feed(self, models: list[Model]) -> None:
        """A new instance every second, until the last gust."""
        ends_at = time.monotonic() + self._seconds
        while time.monotonic() < ends_at:
            for model in models:
                await self._world.start(model)
            await asyncio.sleep(len(models))  # as above

    async def _gust(self, gust: Gust) -> None:
        """Blow at its time and for its time, which are drawn by lot: no condition ends a gust."""
        await asyncio.sleep(gust.at)
        self.blown[gust.kind] += 1
        act: Callable[[Gust], Coroutine[Any, Any, None]] = getattr(self, f"_{gust.kind.replace(' ', '_')}")
        await act(gust)

    async def _kill(self, gust: Gust) -> None:
        worker = self._pick(gust)
        if worker is not None:
            await worker.kill()
        await self._world.spawn(max_tasks=10)

    async def _stop(self, gust: Gust) -> None:
        worker = self._pick(gust)
        if worker is not None:
            await worker.stop()
        await self._world.spawn(max_tasks=10)

    async def _freeze(self, gust: Gust) -> None:
        worker = self._pick(gust)
        if worker is not None:
            worker.freeze()
            await asyncio.sleep(gust.seconds)
            worker.thaw()

    async def _engine(self, gust: Gust) -> None:
        await self._spoil(self._world.engine, ENGINE_TROUBLE, gust)

    async def _redis(self, gust: Gust) -> None:
        await self._spoil(self._world.redis, REDIS_TROUBLE, gust)

    async def _provider(self, gust: Gust) -> None:
        await self._spoil(self._world.provider, PROVIDER_TROUBLE, gust)

    async def _engine_down(self, gust: Gust) -> None:
        await self._take_down(self._world.engine, gust)

    async def _redis_down(self, gust: Gust) -> None:
        await self._take_down(self._world.redis, gust)

    async def _provider_down(self, gust: Gust) -> None:
        await self._take_down(self._world.provider, gust)

    async def _take_down(self, proxy: HttpProxy | RedisProxy, gust: Gust) -> None:
        await proxy.down()
        await asyncio.sleep(gust.seconds)
        await proxy.up()

    async def _suspend(self, gust: Gust) -> None:
        instances = self._world.instances
        if instances:
            path = f"process-instance/{instances[gust.roll % len(instances)]}/suspended"
            await self._world.rest.request("PUT", path, {"suspended": True})  # it may have ended
            await asyncio.sleep(gust.seconds)
            await self._world.insist(path, {"suspended": False}, method="PUT")

    async def _spoil(self, proxy: Proxy, troubles: tuple[dict[str, Any], ...], gust: Gust) -> None:
        effect = troubles[gust.roll % len(troubles)]
        rule = proxy.spoil(probability=0.5, seed=gust.roll, **effect)
        await asyncio.sleep(gust.seconds)
        proxy.remove(rule)

    def _pick(self, gust: Gust) -> Any:
        running = [worker for worker in self._world.workers if worker.running]
        return running[gust.roll % len(running)] if running else None

    async def _clear(self) -> None:
        world = self._world
        for proxy in (world.engine, world.provider, world.redis):
            proxy.heal()
            await proxy.up()
        for worker in world.workers:
            worker.thaw()
        if not any(worker.running for worker in world.workers):
            await world.start_worker(max_tasks=10)


@asynccontextmanager
async def own_world() -> AsyncIterator[World]:
    """Servers of its own."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            running(Nursery()) as nursery,
            running(Valkey()) as valkey,
            running(Engine()) as engine,
            connect(engine) as rest,
            open_world(rest, nursery, valkey, 0, Path(folder)) as world,
        ):
            yield world


async def main() -> int:
    """Run one storm from the command line; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--workers", type=int, default=3)
    options = parser.parse_args()
    async with own_world() as world:
        storm = Storm(world, seed=options.seed, seconds=options.seconds, workers=options.workers)
        print(storm.repeat, flush=True)  # noqa: T201 - a program for the console
        try:
            await storm.blow()
        except (AssertionError, ExceptionGroup):
            traceback.print_exc()
            return 1
        asked = len(world.history.of("provider", "POST /responses"))
        tasks = len(world.history.of("engine", "/complete$"))
        instances = f"{len(world.instances)} instances, {len(storm.poisoned)} of them poisoned"
        print(f"sound: {instances}, {tasks} completions sent, {asked} questions; {storm.blown}")  # noqa: T201 - as above
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(asyncio.run(main()))
