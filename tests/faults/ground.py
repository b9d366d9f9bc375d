"""Where a soak takes place: servers that keep their data when they are stopped, and have memory for large loads."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.faults.world import Worker, World, open_world
from tests.nursery import Nursery
from tests.rest import EngineRest
from tests.servers.postgresql import PostgreSQL
from worker.demo.engine import JAVA_OPTIONS, Engine
from worker.demo.processes import running
from worker.demo.servers import Valkey

MORE_MEMORY = [*JAVA_OPTIONS, "-Xmx2g"]
"""The last -Xmx counts."""


@dataclass(frozen=True, slots=True)
class Ground:
    """A world, and the processes of its servers."""

    world: World
    engine: Engine
    valkey: Valkey

    def past_the_proxies(self) -> dict[str, Any]:
        """Give the settings of workers that are under load: the proxies would note every byte of it."""
        return {
            "engine_url": self.engine.base_url,
            "redis_url": self.valkey.url(),
            "openai_base_url": self.world.model.base_url,
        }


@asynccontextmanager
async def open_ground() -> AsyncIterator[Ground]:
    """Start everything but a worker."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            running(Nursery()) as nursery,
            running(Valkey(persistent=True)) as valkey,
            running(PostgreSQL()) as db,
        ):
            database = await asyncio.to_thread(db.create, "engine")
            async with (
                running(Engine(database=database, java_options=MORE_MEMORY)) as engine,
                aiohttp.ClientSession() as session,  # nothing is cleaned up: the engine goes with all it has
                open_world(EngineRest(engine.base_url, session), nursery, valkey, 0, Path(folder)) as world,
            ):
                yield Ground(world, engine, valkey)


def peak_megabytes(worker: Worker) -> float:
    """The most memory that a running worker ever had resident. What the nursery had at the fork is part of it."""
    return _megabytes(worker, "VmHWM:")


def resident_megabytes(worker: Worker) -> float:
    """The memory that a running worker has resident now, with what the nursery had at the fork."""
    return _megabytes(worker, "VmRSS:")


def _megabytes(worker: Worker, name: str) -> float:
    status = Path(f"/proc/{worker.child.pid}/status").read_text("ascii")
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith(name))
    return round(int(kilobytes) * 1024 / 1_000_000, 1)


def say(text: str) -> None:
    """Tell whoever waits for minutes."""
    print(text, flush=True)  # noqa: T201 - for the console
