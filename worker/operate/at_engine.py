"""Commands that want the engine, and neither Redis nor a transcript."""

import asyncio
from collections.abc import Awaitable, Callable

from worker import settings
from worker.bootstrap.adapters import connection
from worker.engine import RestEngine
from worker.errors import Permanent, WorkerError
from worker.operate.commands import tables
from worker.telemetry import logs

FAILED = 1
"""The exit code where the engine cannot be reached, or says no."""


def at_engine(work: Callable[[RestEngine], Awaitable[int]]) -> int:
    """Do something with the engine of the settings. Returns the exit code; raises Permanent."""
    chosen = settings.read()
    logs.configure("console", "CRITICAL")  # what happens is printed

    async def connected() -> int:
        try:
            async with RestEngine.open(connection(chosen)) as engine:
                return await work(engine)
        except Permanent:
            raise
        except WorkerError as exc:
            tables.complain(str(exc))
            return FAILED

    return asyncio.run(connected())
