"""Measures how long a recall takes as facts grow, on both databases. `python -m tests.benchmarks.recall`.

Beside it stand a search by words alone over all facts, which recall does without, and recall beside a busy writer. What
is measured is the whole of `Recollection.recollect` as a turn waits for it, in one process and one at a time.
"""

import argparse
import asyncio
import json
import random
import statistics
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

from sqlalchemy import func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.benchmarks import machine
from tests.servers.postgresql import PostgreSQL
from worker.demo.processes import HOST
from worker.domain.memory import NEWEST, MemorySubject, Waiting
from worker.transcript import Database, EmbeddedMemory, open_database
from worker.transcript.memos import fact_row
from worker.transcript.tables import memory_facts, memory_subjects
from worker.transcript.words import fts5_query, ts_query

SIZES = (1000, 10_000, 100_000)
OF_ONE = 500
"""Facts of the subject that is asked for, of which NEWEST are looked at; the others have 50 each."""
ASKED = 300
WORDS = [f"word{number}" for number in range(5000)]
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
Work = Callable[[AsyncConnection], Awaitable[None]]


def digest(number: int) -> str:
    """Name a subject."""
    return f"{number:032x}"


ONE = digest(0)


def row(number: int, subject: str, dice: random.Random) -> dict[str, Any]:
    """Make a fact of 60 words, some of which are in most of them."""
    said = " ".join(dice.choices(WORDS, k=50) + dice.choices(WORDS[:20], k=10))
    at = BEGAN + timedelta(seconds=number)
    ref = f"{number:012x}"
    of = Waiting(1, MemorySubject(subject, None), 1, f"i{number // 4}", ref, "analyst", "Settle it.", said, at, None)
    return fact_row(of, "default", of.question, said, "approved")


async def fill(database: Database, size: int, dice: random.Random, one: str = ONE) -> None:
    """Have so many facts: OF_ONE of one subject, spread over all the time, and the others'."""
    others = (size - OF_ONE) // 50
    every = max(1, size // OF_ONE)
    names = [one, *(digest(number) for number in range(1, others + 1))]
    now = {"engine": "default", "kind": "tenant", "generation": 0, "place": 0, "changed_at": BEGAN}

    async def subjects(connection: AsyncConnection) -> None:
        await connection.execute(insert(memory_subjects), [{"digest": each, **now} for each in names])

    await database.write(subjects)
    for start in range(0, size, 5000):
        rows = [
            row(number, one if number % every == 0 else names[dice.randint(1, max(1, others))], dice)
            for number in range(start, min(size, start + 5000))
        ]

        async def facts(connection: AsyncConnection, rows: Sequence[Any] = rows) -> None:
            await connection.execute(insert(memory_facts), rows)

        await database.write(facts)
    if not database.is_sqlite:
        await database.write(_analyse)


async def _analyse(connection: AsyncConnection) -> None:
    await connection.execute(text("ANALYZE"))


@asynccontextmanager
async def writing(database: Database, *, busy: bool) -> AsyncIterator[None]:
    """Have somebody write all the time, if `busy`."""

    async def write() -> None:
        number = 10_000_000
        while True:
            number += 1
            dice = random.Random(number)  # noqa: S311 - no secret
            rows = [row(number * 100 + each, digest(1), dice) for each in range(20)]

            async def work(connection: AsyncConnection, rows: Sequence[Any] = rows) -> None:
                await connection.execute(insert(memory_facts), rows)

            await database.write(work)

    task = asyncio.create_task(write()) if busy else None
    try:
        yield
    finally:
        if task is not None:
            task.cancel()
            await asyncio.wait({task})


def told(seconds: Sequence[float]) -> dict[str, float]:
    """Say p50, p99 and the longest, in milliseconds."""
    ordered = sorted(seconds)
    p99 = ordered[int(len(ordered) * 0.99)]
    return {
        name: round(1000 * each, 3)
        for name, each in (("p50", statistics.median(ordered)), ("p99", p99), ("max", ordered[-1]))
    }


async def timed(work: Callable[[], Awaitable[Any]], times: int = ASKED) -> dict[str, float]:
    """Do it so often, and say how long it took."""
    await work()
    seconds = []
    for _ in range(times):
        began = perf_counter()
        await work()
        seconds.append(perf_counter() - began)
    return told(seconds)


async def measure(url: str, size: int) -> dict[str, Any]:
    """Fill a database, and measure."""
    dice = random.Random(size)  # noqa: S311 - no secret
    async with open_database(url) as database:
        memory = EmbeddedMemory(database, database.hurried(), engine="default")
        await fill(database, size, dice)
        one, asked = MemorySubject(ONE, None), " ".join(dice.choices(WORDS, k=40))

        async def recall() -> None:
            generation, facts = await memory.recollect(one, asked, 5)
            assert (generation, len(facts)) == (0, 5)

        every = (fts5_query if database.is_sqlite else ts_query)(asked)
        every = every.replace('" "', '" OR "').replace('"* "', '"* OR "').replace(" & ", " | ")
        found = (
            select(func.count()).select_from(text("fact_words")).where(text("fact_words MATCH :q"))
            if database.is_sqlite
            else select(func.count())
            .where(text("to_tsvector('simple', words) @@ to_tsquery('simple', :q)"))
            .select_from(memory_facts)
        ).params(q=every)

        async def search() -> None:
            async with database.reading() as connection:
                await connection.execute(found)

        idle, alone = await timed(recall), await timed(search, 20)
        async with writing(database, busy=True):
            busy = await timed(recall)
    return {"facts": size, "recall": idle, "recall beside a writer": busy, "search of all by any word": alone}


async def both(sizes: Sequence[int]) -> dict[str, Any]:
    """Measure both, and print."""
    results: dict[str, Any] = {"machine": machine.facts(), "newest": NEWEST}
    for name in ("sqlite", "postgresql"):
        results[name] = []
        for size in sizes:
            if name == "sqlite":
                with tempfile.TemporaryDirectory() as folder:
                    point = await measure(f"sqlite:///{folder}/facts.db", size)
            else:
                with PostgreSQL() as server:
                    address = f"{server.user}:{server.password}@{HOST}:{server.port}/postgres"
                    point = await measure(f"postgresql://{address}", size)
            results[name].append(point)
            print(name, json.dumps(point))  # noqa: T201 - for whoever runs it
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/recall.json"))
    parser.add_argument("--facts", type=int, nargs="+", default=list(SIZES))
    chosen = parser.parse_args()
    measured = asyncio.run(both(chosen.facts))
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(measured, indent=2) + "\n", "utf-8")
