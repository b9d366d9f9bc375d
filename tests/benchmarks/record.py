"""Measures the record on SQLite and PostgreSQL: to open a conversation of 1 000 messages, and to search 100 000.

`python -m tests.benchmarks.record` prints the figures and asserts nothing. What a person waits for, in a browser, is
measured too.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import perf_counter

import aiohttp
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.page.site import Deployed, browsing, site_on
from tests.records import exchange, key
from tests.servers.postgresql import PostgreSQL
from worker.demo.processes import HOST
from worker.domain.exchanges import Exchange
from worker.transcript import Database, SqlTranscriptWriter, open_database
from worker.transcript.rows import message_rows, session_row
from worker.transcript.tables import messages, sessions

LONG = "instance-long"
LONG_TURNS = 500
TURNS_EACH = 50
BATCH = 1000
RARE = "sapphire"
COMMON = "drone"


def exchanges(total: int) -> Iterator[Exchange]:
    """So many turns of 150 words each, in the same words each time: one long conversation, and many short ones."""
    chance = random.Random(7)  # noqa: S311 - texts, no secrets
    words = ["".join(chance.choices("abcdefghijklmnoprstuvw", k=chance.randint(3, 10))) for _ in range(4000)]
    for number in range(total):
        named = LONG if number < LONG_TURNS else f"instance-{(number - LONG_TURNS) // TURNS_EACH}"
        text = " ".join(chance.choices(words, k=150))
        extra = f" {COMMON}" if number % 4 == 0 else ""
        extra += f" {RARE}" if number % 5000 == 0 else ""
        answer = f"## Answer\n\n{text}{extra}\n\n- one\n- **two**"
        yield exchange(number, key(named), activity_id=f"step_{number % 5}", answer=answer, question=text[:200])


async def fill(database: Database, total: int) -> None:
    """Write the rows that the recording writes, many in a transaction."""
    await SqlTranscriptWriter(database).ping()
    known = set[str]()
    batch: list[Exchange] = []
    for each in exchanges(total):
        batch.append(each)
        if len(batch) == BATCH:
            await database.write(partial(_insert, batch, known))
            batch = []
    if batch:
        await database.write(partial(_insert, batch, known))


async def _insert(batch: list[Exchange], known: set[str], connection: AsyncConnection) -> None:
    rows = {row["id"]: row for row in map(session_row, batch)}
    if new := [row for name, row in rows.items() if name not in known]:
        await connection.execute(insert(sessions), new)
        known.update(row["id"] for row in new)
    await connection.execute(insert(messages), [row for each in batch for row in message_rows(each)])


async def measure(name: str, url: str, total: int, rounds: int) -> None:
    """Fill a database, ask over HTTP, and print the median of some rounds."""
    began = perf_counter()
    async with open_database(url) as database:
        await fill(database, total)
        print(f"{name}: {2 * total} messages, filled in {perf_counter() - began:.0f} s")  # noqa: T201 - a command
        async with site_on(database, Deployed()) as served, aiohttp.ClientSession(served.url) as session:
            for what, addresses in WAYS.items():
                took = [await _ask(session, addresses) for _ in range(rounds + 1)][1:]
                print(f"  {what:<58} {statistics.median(took) * 1000:8.0f} ms  (worst {max(took) * 1000:.0f})")  # noqa: T201 - a command
            await _browse(served.url)


WAYS = {
    "open 1 000 messages: instance, activities, first 100": [
        f"/api/instances/{LONG}",
        f"/api/instances/{LONG}/activities",
        f"/api/instances/{LONG}/thread",
    ],
    "read all 1 000 messages, page by page": [f"/api/instances/{LONG}/thread?limit=200…"],
    "search a word that 10 messages have": [f"/api/search?q={RARE}"],
    "search a word that one message in 8 has": [f"/api/search?q={COMMON}"],
    "search two words, one of them rare": [f"/api/search?q={COMMON}+{RARE}"],
    "search a word that nobody said": ["/api/search?q=nowhereatall"],
    "list of instances, first page": ["/api/instances"],
    "list of conversations, first page": ["/api/sessions"],
}
"""What is asked, one after the other; … follows an address page by page."""


async def _ask(session: aiohttp.ClientSession, addresses: list[str]) -> float:
    began = perf_counter()
    for address in addresses:
        path = address.removesuffix("…")
        after = await _get(session, path)
        while after and address.endswith("…"):
            after = await _get(session, f"{path}&after={after}")
    return perf_counter() - began


async def _get(session: aiohttp.ClientSession, address: str) -> str | None:
    async with session.get(address) as answer:
        answer.raise_for_status()
        said = await answer.json()
    return said.get("next") if isinstance(said, dict) else None


async def _browse(url: str) -> None:
    async with browsing(viewport={"width": 1280, "height": 900}) as context:
        page = await context.new_page()
        for what, address, shown in (
            ("browser: a conversation of 1 000 messages is to be read", f"/instances/{LONG}", "article"),
            ("browser: a search has found", f"/search?q={COMMON}", ".hits li"),
        ):
            took = []
            for _ in range(4):
                await page.goto("about:blank")
                began = perf_counter()
                await page.goto(url + address)
                await page.locator(shown).first.wait_for()
                took.append(perf_counter() - began)
            print(f"  {what:<58} {statistics.median(took[1:]) * 1000:8.0f} ms  (cold {took[0] * 1000:.0f})")  # noqa: T201 - a command


@asynccontextmanager
async def places(folder: Path) -> AsyncIterator[dict[str, str]]:
    """Both databases, empty."""
    with PostgreSQL() as server:
        yield {
            "SQLite": f"sqlite:///{folder}/record.db",
            "PostgreSQL": f"postgresql://{server.user}:{server.password}@{HOST}:{server.port}/postgres",
        }


async def main() -> None:
    """Measure both."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--messages", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        async with places(Path(folder)) as urls:
            for name, url in urls.items():
                await measure(name, url, chosen.messages // 2, chosen.rounds)


if __name__ == "__main__":
    asyncio.run(main())
