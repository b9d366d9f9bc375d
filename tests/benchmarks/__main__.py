"""Measures the worker beside a bare loop on one real engine. `make bench`, or `python -m tests.benchmarks --quick`."""

import argparse
import asyncio
import json
import random
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from tests.benchmarks import crash, figures, machine, mishaps, recall, stage, subjects
from tests.benchmarks.figures import Result
from tests.benchmarks.peers import clients
from tests.benchmarks.peers.clients import Client
from tests.benchmarks.stage import TURNS, Stage
from tests.benchmarks.subjects import Subject
from tests.models import Model
from tests.waiting import wait_until
from worker.demo.processes import free_port, http_ok, running
from worker.modelling.subjects import named
from worker.transcript import SqlTranscriptWriter, open_database

WAVES = 3
FACTS = 10_000
"""That are there where a task recalls, `recall.OF_ONE` of them of whom it is about."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is run. `tasks` are those of one run at saturation; the slower models get fewer.

    `many_slots` work with a model that takes `many_seconds`, once.
    """

    rounds: int
    tasks: int
    second_tasks: int
    server_tasks: int
    single_tasks: int
    warm_up_tasks: int
    idle_seconds: float
    faulty_tasks: int
    crashes: int
    many_slots: int = 1000
    many_seconds: int = 20


class Bench:
    """The runs, each on work that was laid out for it alone. `folder` is for what a transcript is kept in.

    `known` is as `one`, and recalls; `peers` run beside the bare loop and us.
    """

    def __init__(
        self,
        stage: Stage,
        four: Model,
        one: Model,
        extent: Extent,
        folder: Path,
        peers: Sequence[Client] = (),
        *,
        known: Model | None = None,
    ) -> None:
        self._stage = stage
        self._four = four
        self._one = one
        self._known = known or one
        self._extent = extent
        self._folder = folder
        self._peers = peers

    async def warm_up(self) -> None:
        """Let Java compile what the runs will use, by both kinds of subject."""
        for run in (self.bare, self.instant):
            await run(self._extent.warm_up_tasks // 2)

    async def one_round(self, number: int) -> dict[str, Result]:
        """Run everything once; every other round backwards, so that what drifts is shared out."""
        extent = self._extent
        runs: list[tuple[str, Callable[[int], Awaitable[Result]], int]] = [
            ("bare", self.bare, extent.tasks),
            ("written", self.written, extent.tasks),
            ("instant", self.instant, extent.tasks),
            ("second", self.second, extent.second_tasks),
            ("kept", self.kept, extent.second_tasks),
            ("server", self.server, extent.server_tasks),
            ("responses", partial(self.remembering, "responses"), extent.server_tasks),
            ("chat", partial(self.remembering, "chat"), extent.server_tasks),
            ("budgeted", self.budgeted, extent.tasks),
            ("single", self.single, extent.single_tasks),
            ("kept_single", self.kept_single, extent.single_tasks),
            ("recalled_single", self.recalled_single, extent.single_tasks),
        ]
        for client in self._peers:
            tasks, second = _part(extent.tasks, client.share), _part(extent.second_tasks, client.second_share)
            runs += [
                (client.name, partial(self.peer, client, 0), tasks),
                (f"{client.name}_second", partial(self.peer, client, 1), second),
            ]
        results: dict[str, Result] = {}
        for name, run, tasks in reversed(runs) if number % 2 else runs:
            started = monotonic()
            result = await self._try(name, partial(run, tasks))
            if result is None:
                continue
            results[name] = result
            rate = tasks / result["since_first_fetch_seconds"]
            say(f"round {number + 1} {name:19}{tasks:5} tasks {rate:6.1f}/s, {monotonic() - started:.0f} s in all")
        return results

    async def once(self) -> dict[str, Result]:
        """Run what runs once."""
        tried = {name: await self._try(name, getattr(self, name)) for name in ("idle", "kept_idle", "faulty", "many")}
        return {name: result for name, result in tried.items() if result is not None}

    async def _try(self, name: str, run: Callable[[], Awaitable[Result]]) -> Result | None:
        """Run something; if it fails it is left out with a word, so that the others are not lost."""
        try:
            return await run()
        except (RuntimeError, subprocess.TimeoutExpired) as exc:
            say(f"{name} is left out: {exc}")
            return None

    async def bare(self, tasks: int) -> Result:
        """A backlog for the bare loop."""
        await self._load(tasks)
        return await self._run(subjects.bare(self._stage.place(), tasks))

    async def written(self, tasks: int) -> Result:
        """A backlog for the bare loop, which writes what we write."""
        await self._load(tasks)
        return await self._run(subjects.bare(self._stage.place(), tasks, writes=True))

    async def peer(self, client: Client, model_seconds: float, tasks: int) -> Result:
        """A backlog for a client of others."""
        await self._load(tasks)
        return await self._run(subjects.peer(client, self._stage.place(), tasks, model_seconds))

    async def instant(self, tasks: int) -> Result:
        """A backlog for us, with a model that answers at once."""
        await self._load(tasks)
        return await self._run(subjects.ours(self._stage.place(), tasks, 0))

    async def second(self, tasks: int) -> Result:
        """A backlog for us, with a model that takes a second."""
        await self._load(tasks)
        return await self._run(subjects.ours(self._stage.place(), tasks, 1))

    async def kept(self, tasks: int) -> Result:
        """The same, and every turn is recorded."""
        await self._load(tasks)
        return await self._run(subjects.ours(self._stage.place(**self._record()), tasks, 1))

    async def server(self, tasks: int) -> Result:
        """A backlog for us, with the provider's API over HTTP."""
        await self._stage.provider.reset()
        await self._load(tasks)
        return await self._run(subjects.ours(self._stage.place(), tasks, None))

    async def remembering(self, api: str, tasks: int) -> Result:
        """The same over an API that keeps nothing, so that we keep what was said."""
        await self._stage.provider.reset()
        await self._load(tasks)
        file = self._file(f"providers:\n  openai: {{api: {api}, base_url: '{self._stage.model_url}'}}\n")
        return await self._run(subjects.ours(self._stage.place(PROVIDERS_FILE=file), tasks, None))

    async def budgeted(self, tasks: int) -> Result:
        """A backlog for us, with a model that answers at once, and three budgets for each call."""
        await self._load(tasks)
        scopes = ("instance", "task", "assistant")
        file = self._file("budgets:\n" + "".join(f"  {scope}: {{tokens: 1000000000}}\n" for scope in scopes))
        place = self._stage.place(BUDGETS_FILE=file)
        return await self._run(subjects.ours(place, tasks, 0))

    async def single(self, tasks: int) -> Result:
        """Single tasks, each created while our worker has nothing else to do."""
        return await self._one_by_one(tasks, self._one, {})

    async def kept_single(self, tasks: int) -> Result:
        """The same, and every turn is recorded."""
        return await self._one_by_one(tasks, self._one, self._record())

    async def recalled_single(self, tasks: int) -> Result:
        """The same, and each is shown five of many facts, and leaves one."""
        settings = self._record() | {"MEMORY": "embedded"}
        subject = named(stage.KNOWN_BY, stage.SUBJECT.strip(), None, "default")
        async with open_database(settings["TRANSCRIPT_URL"]) as database:
            await SqlTranscriptWriter(database).ping()  # makes the tables
            await recall.fill(database, FACTS, random.Random(FACTS), subject.digest)  # noqa: S311 - guards nothing
        return await self._one_by_one(tasks, self._known, settings)

    def _file(self, text: str) -> str:
        """Write a file of a worker's."""
        file = Path(tempfile.mkdtemp(dir=self._folder)) / "file.yaml"
        file.write_text(text, "utf-8")
        return str(file)

    def _record(self) -> dict[str, str]:
        """Settings of a worker with a transcript: a new SQLite file for each run."""
        folder = tempfile.mkdtemp(dir=self._folder)
        return {"TRANSCRIPT_URL": f"sqlite:///{folder}/transcript.db", "API_PORT": "0"}

    async def _one_by_one(self, tasks: int, model: Model, settings: Mapping[str, str]) -> Result:
        await self._stage.purge()
        port = free_port()
        place = self._stage.place(HEALTH_PORT=str(port), **settings)
        async with running(subjects.ours(place, tasks, 0)) as subject:
            await wait_until(lambda: http_ok(port, "/readyz"), 30, "a ready worker")
            for _ in range(tasks):
                # Not waiting for a thing: tasks come at random times, in the middle of a poll.
                await asyncio.sleep(random.uniform(0.1, 0.3))  # noqa: S311 - guards nothing
                await stage.start(self._stage.rest, model, 1)
            return await subject.result()

    async def idle(self) -> Result:
        """Let our worker wait for work that does not come."""
        return await self._idle({})

    async def kept_idle(self) -> Result:
        """The same, and turns would be recorded."""
        return await self._idle(self._record())

    async def _idle(self, settings: Mapping[str, str]) -> Result:
        await self._stage.purge()
        return await subjects.run(subjects.idle(self._stage.place(**settings), self._extent.idle_seconds))

    async def many(self) -> Result:
        """A backlog of single tasks for many slots, three for each, with a slow model."""
        slots, seconds = self._extent.many_slots, self._extent.many_seconds
        await self._stage.purge()
        await self._stage.copy(await self._stage.template(self._one), WAVES * slots)
        place = self._stage.place(MAX_TASKS=str(slots))
        result = await self._run(subjects.ours(place, WAVES * slots, seconds, [slots]))
        return {**result, "ideal_rate": slots / seconds}

    async def faulty(self) -> Result:
        """A backlog for us, with a provider of whose calls two in a hundred fail."""
        tasks, provider = self._extent.faulty_tasks, self._stage.provider
        await provider.reset()
        await self._load(tasks)
        await provider.spoil(*mishaps.rules(tasks))
        place = self._stage.place(ASSISTANTS_DIR=str(mishaps.ASSISTANTS))
        result = await self._run(subjects.ours(place, tasks, None))
        return {**result, "asked": await provider.asked(), "spoiled": await provider.spoiled()}

    async def crashes(self) -> list[Result]:
        """Kill workers one after the other, each under a call."""
        parts = self._stage
        await parts.purge()
        await parts.provider.reset()
        results: list[Result] = []
        async with crash.crashes(parts.rest, parts.provider, parts.place(), self._one) as deaths:
            for _ in range(self._extent.crashes):
                results.append({"seconds": await deaths.next_question(await deaths.kill())})
                say(f"crash    asked again after {results[-1]['seconds']:.1f} s")
        return results

    async def _run(self, subject: Subject) -> Result:
        """Run it, and note what it cost the servers, its start included."""
        before = self._stage.cpu_seconds()
        result = await subjects.run(subject)
        return {**result, "servers_cpu_seconds": self._stage.cpu_seconds() - before}

    async def _load(self, tasks: int) -> None:
        await self._stage.load(self._four, tasks // TURNS)


def _part(tasks: int, share: float) -> int:
    """Return that share of the tasks, in whole instances."""
    return max(TURNS, int(tasks * share) // TURNS * TURNS)


@asynccontextmanager
async def record_folder() -> AsyncIterator[Path]:
    """Make a folder for records, for the time of a run."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield Path(folder)


async def measure(extent: Extent) -> dict[str, Any]:
    """Run the bench and return all there is to know of it."""
    started = datetime.now(UTC)
    peers = await asyncio.to_thread(clients.available, say)
    run = {"date": started.isoformat(timespec="seconds"), "machine": machine.facts(), "extent": asdict(extent)}
    async with stage.open_stage() as parts, record_folder() as folder:
        four, one = (stage.model(turns, stage.TOPIC) for turns in (TURNS, 1))
        known = stage.model(1, stage.TOPIC, memory_subject=stage.KNOWN_BY)
        await parts.rest.deploy(four, one, known)
        versions = machine.versions() | await stage.versions(parts)
        bench = Bench(parts, four, one, extent, folder, peers, known=known)
        await bench.warm_up()
        say(f"warm after {extent.warm_up_tasks} tasks")
        rounds = [figures.of_round(await bench.one_round(number)) for number in range(extent.rounds)]
        rounds[-1] |= figures.of_round(await bench.once())
        crashes = [figures.of_round({"crash": each}) for each in await bench.crashes()]
    seconds = (datetime.now(UTC) - started).total_seconds()
    summary = figures.over_rounds([*rounds, *crashes])
    return {
        **run,
        "versions": versions,
        "seconds": seconds,
        "summary": summary,
        "rounds": rounds,
        "crashes": crashes,
    }


def main() -> None:
    """Measure, print the table and store everything."""
    options = _options()
    whole = asyncio.run(measure(_extent(options)))
    options.out.write_text(json.dumps(whole, indent=1) + "\n", "utf-8")
    say(f"\n{json.dumps(whole['machine'])}\n{json.dumps(whole['versions'])}\n")
    say(figures.table(whole["summary"]))
    say(f"\n{whole['seconds']:.0f} s; stored in {options.out}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=1600, help="of one run at saturation; a multiple of 4")
    parser.add_argument(
        "--quick", action="store_true", help="one small round: shows that it runs, its figures are rough"
    )
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"), help="file for all figures")
    options = parser.parse_args()
    if options.tasks < TURNS or options.tasks % TURNS or options.rounds < 1:
        parser.error(f"--tasks must be a multiple of {TURNS}, --rounds at least 1")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    return options


def _extent(options: argparse.Namespace) -> Extent:
    if options.quick:
        return Extent(1, 200, 100, 100, 10, 400, 10, 300, 1, many_slots=100, many_seconds=2)
    tasks = options.tasks
    return Extent(options.rounds, tasks, min(600, tasks), max(TURNS, tasks // 8 * 4), 50, 8000, 60, 800, 5)


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)  # noqa: T201 - this is a program for people


if __name__ == "__main__":
    main()
