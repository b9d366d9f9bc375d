"""Measures what a task costs the worker as things around it grow. `python -m tests.benchmarks.growth`.

Told are counted things: CPU, requests to the engine and to Redis, and parks, each for a task. They should be flat: over
waiting tasks, topics, workers and the turns of one thread. `--waiting 10 100 --topics --workers --turns` measures the
first alone, and a part of it.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.benchmarks import machine, stage, subjects
from tests.benchmarks.stage import TOPIC, Stage
from tests.models import Model, bpmn, loop, unique
from tests.waiting import wait_until
from worker.demo.processes import free_port, http_ok, running

SIDE_BY_SIDE = 4
"""Tasks of an instance that wait for one thread at the same time, where workers compete."""
PATIENCE_SECONDS = 120
COUNTED = {
    "cpu_ms": "CPU-ms",
    "engine": "engine requests",
    "redis": "Redis requests",
    "parks": "parks",
    "servers_ms": "servers' CPU-ms",
}
TITLES = {
    "waiting": "tasks that wait besides",
    "topics": "topics",
    "workers": "workers, four tasks of a thread at once",
    "turns": "turns of one thread",
}

Point = dict[str, float]
"""What a task cost, by the names of COUNTED, and `x`, what grew."""


@dataclass(frozen=True, slots=True)
class Extent:
    """What grows, and how far; `tasks` are completed at each point, but for the turns, which go on."""

    waiting: Sequence[int] = (10, 100, 1000, 10_000, 100_000)
    topics: Sequence[int] = (1, 10, 50, 200)
    workers: Sequence[int] = (1, 2, 4, 8)
    turns: Sequence[int] = (10, 100, 500, 1000, 2500, 5000)
    tasks: int = 800
    rounds: int = 3


QUICK = Extent((10, 1000), (1, 10), (1, 2), (10, 50, 100), 80, 1)


class Growth:
    """The curves, each on a stage that it empties first. `folder` is for signs to the workers."""

    def __init__(self, parts: Stage, extent: Extent, folder: Path) -> None:
        self._stage = parts
        self._extent = extent
        self._folder = folder

    async def waiting(self) -> list[Point]:
        """So many instances of one task wait besides those that are completed."""
        tasks, points = self._extent.tasks, []
        one = await self._deployed(stage.model(1, TOPIC))
        await self._stage.purge()
        templates = await self._stage.template(one)
        for number in self._extent.waiting:
            await self._stage.copy(templates, number + tasks - await self._count())
            before = self._stage.cpu_seconds()
            result = await subjects.run(subjects.ours(self._stage.place(TOPICS=TOPIC), tasks, 0))
            servers = 1000 * (self._stage.cpu_seconds() - before) / tasks
            points.append({"x": number, **_cost([_ends(result)]), "servers_ms": servers})
        return points

    async def topics(self) -> list[Point]:
        """The worker is told so many topics, and each has tasks."""
        points = []
        for number in self._extent.topics:
            topics = [unique("bench") for _ in range(number)]
            models = [stage.model(1, topic) for topic in topics]
            await self._stage.rest.deploy(*models)
            await self._stage.purge()
            templates = await self._stage.template(*models)
            share = max(1, self._extent.tasks // number)
            # What a worker reads once of a definition is not growth: the first of each topic are not counted.
            await self._stage.copy(templates, 1)
            place = self._stage.place(TOPICS=",".join(topics))
            async with running(subjects.ours(place, number + number * share, 0, [number])) as worker:
                await wait_until(self._nothing_left, PATIENCE_SECONDS, "the end of the first tasks")
                before = self._stage.cpu_seconds()
                await self._stage.copy(templates, share)
                result = await worker.result()
            servers = 1000 * (self._stage.cpu_seconds() - before) / (number * share)
            points.append({"x": number, **_cost([tuple(result["marks"][-2:])]), "servers_ms": servers})
        return points

    async def workers(self) -> list[Point]:
        """So many workers compete for the same tasks, and for threads that several tasks wait for."""
        topic = unique("bench")
        model = await self._deployed(bpmn([stage.step(number, topic) for number in range(SIDE_BY_SIDE)]))
        return [{"x": number, **await self._competing(model, topic, number)} for number in self._extent.workers]

    async def turns(self) -> list[Point]:
        """One thread has so many turns, one after the other."""
        most, topic = max(self._extent.turns), unique("bench")
        model = await self._deployed(bpmn(stage.step(1, topic, loop(most, sequential=True))))
        await self._stage.load(model, 1)
        place = self._stage.place(TOPICS=topic)
        result = await subjects.run(subjects.ours(place, most, 0, [each for each in self._extent.turns if each < most]))
        return [{"x": later["tasks"], **_cost([(before, later)])} for before, later in pairwise(result["marks"])]

    async def _deployed(self, model: Model) -> Model:
        await self._stage.rest.deploy(model)
        return model

    async def _count(self, **wanted: Any) -> int:
        return int((await self._stage.rest.get("external-task/count", active=True, **wanted))["count"])

    async def _nothing_left(self) -> bool:
        assert await self._count(noRetriesLeft=True) == 0, "a task failed"
        return await self._count() == 0

    async def _competing(self, model: Model, topic: str, workers: int) -> Point:
        instances = self._extent.tasks // SIDE_BY_SIDE
        await self._stage.purge()
        await self._stage.provider.reset()
        sign = self._folder / unique("over")
        place = self._stage.place(TOPICS=topic)
        templates = await self._stage.template(model)
        async with AsyncExitStack() as stack:
            started = []
            for _ in range(workers):
                port = free_port()
                settings = {**place.settings, "HEALTH_PORT": str(port)}
                worker = subjects.ours_until(replace(place, settings=settings), sign)
                started.append(await stack.enter_async_context(running(worker)))
                await wait_until(partial(http_ok, port, "/readyz"), 30, "a ready worker")
            before = self._stage.cpu_seconds()
            await self._stage.copy(templates, instances)
            await wait_until(self._nothing_left, PATIENCE_SECONDS, "the end of all tasks")
            servers = 1000 * (self._stage.cpu_seconds() - before) / (instances * SIDE_BY_SIDE)
            sign.touch()
            results = [await worker.result() for worker in started]
        return {**_cost([_ends(each) for each in results]), "servers_ms": servers}


Mark = Mapping[str, Any]


def _ends(result: Mapping[str, Any]) -> tuple[Mark, Mark]:
    return result["marks"][0], result["marks"][-1]


def _cost(spans: Sequence[tuple[Mark, Mark]]) -> Point:
    """Return what a task cost between two marks, over all workers."""
    tasks: int = sum(later["tasks"] - before["tasks"] for before, later in spans)

    def per_task(count: Callable[[Mark], float]) -> float:
        return sum(count(later) - count(before) for before, later in spans) / tasks

    return {
        "cpu_ms": per_task(lambda mark: 1000 * float(mark["cpu"])),
        "engine": per_task(lambda mark: float(sum(mark["requests"].values()))),
        "redis": per_task(lambda mark: float(mark["beside"]["redis"])),
        "parks": per_task(lambda mark: float(mark["beside"]["parks"])),
    }


def medians(rounds: Sequence[Sequence[Point]]) -> list[Point]:
    """Return the median of each figure of each point, over rounds of the same points."""
    return [
        {name: statistics.median(each[name] for each in same) for name in same[0]} for same in zip(*rounds, strict=True)
    ]


def table(curve: str, points: Sequence[Point]) -> str:
    """Write a curve as Markdown; its last line has the most by the least, where flat is 1."""
    counted = [name for name in COUNTED if all(name in point for point in points)]
    lines = [f"| {TITLES[curve]} | " + " | ".join(f"{COUNTED[name]} a task" for name in counted) + " |"]
    lines.append("|" + "---:|" * (len(counted) + 1))
    lines += [
        f"| {point['x']:.0f} | " + " | ".join(f"{point[name]:.2f}" for name in counted) + " |" for point in points
    ]
    columns = [[point[name] for point in points] for name in counted]
    flat = [f"{max(each) / min(each):.2f}" if min(each) > 0 else "" for each in columns]
    return "\n".join([*lines, "| most by least | " + " | ".join(flat) + " |"])


async def measure(parts: Stage, extent: Extent, say: Callable[[str], None]) -> dict[str, list[Point]]:
    """Return the curves that the extent asks for."""
    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        growth = Growth(parts, extent, Path(folder))
        measured: dict[str, Callable[[], Coroutine[Any, Any, list[Point]]]] = {
            "waiting": growth.waiting,
            "topics": growth.topics,
            "workers": growth.workers,
            "turns": growth.turns,
        }
        curves = {}
        for name, curve in measured.items():
            if getattr(extent, name):
                curves[name] = medians([await curve() for _ in range(extent.rounds)])
                say(f"{table(name, curves[name])}\n")
    return curves


async def _measure(extent: Extent) -> dict[str, Any]:
    known = {"machine": machine.facts(), "extent": asdict(extent)}
    async with stage.open_stage() as parts:
        versions = machine.versions() | await stage.versions(parts)
        curves = await measure(parts, extent, lambda text: print(text, flush=True))  # noqa: T201 - a command
    return {**known, "versions": versions, "curves": curves}


def main() -> None:
    """Measure, print the tables and store everything."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.growth", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few points, few tasks, one round: shows that it runs")
    for name, title in TITLES.items():
        parser.add_argument(
            f"--{name}", type=int, nargs="*", help=f"points of the curve over {title}; none leaves it out"
        )
    parser.add_argument("--tasks", type=int, help="completed at each point; a multiple of 4")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--out", type=Path, default=Path("build/growth.json"), help="file for all figures")
    options = parser.parse_args()
    chosen = {name: value for name, value in vars(options).items() if name in Extent.__slots__ and value is not None}
    extent = Extent(**{**asdict(QUICK if options.quick else Extent()), **chosen})
    whole = asyncio.run(_measure(extent))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(whole, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
