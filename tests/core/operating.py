"""What an operator does about a worker of the rig: stop and lift."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from tests.core.rig import Core, Worker
from tests.fakes.engine import Job
from worker.domain.stops import Kind, Stop
from worker.runtime import background

AT = datetime(2026, 5, 4, 12, tzinfo=UTC)
LIFTED_WITHIN = timedelta(seconds=30)
NAMES: dict[Kind, str] = {"assistant": "analyst", "provider": "openai", "tenant": "north", "topic": "topic"}


def stop(kind: Kind = "assistant", *, now: bool = False) -> Stop:
    return Stop(kind, NAMES.get(kind, ""), "ann", AT, "too dear", now)


@asynccontextmanager
async def switched(core: Core) -> AsyncIterator[Worker]:
    """A worker that polls and looks for stops."""
    async with core.working() as worker, background.running(worker.stopped.watch(), "stops"):
        yield worker


async def seen(core: Core, worker: Worker, *stops: Stop) -> None:
    """Order these, and see that the worker knows of them within 5 s."""
    for each in stops:
        await core.stops.stop(each)
    await core.until(lambda: set(stops) <= set(worker.stopped.known()), within=timedelta(seconds=5))


async def lifted(core: Core, *jobs: Job) -> None:
    """Lift everything, and see that these go on soon, with all their retries."""
    for each in (await core.stops.read()).known:
        await core.stops.lift(each.kind, each.name)
    async with asyncio.timeout((LIFTED_WITHIN + timedelta(seconds=10)).total_seconds()):
        await core.until_over(list(jobs))
    assert [(job.retries, job.message, len(job.completed_by)) for job in jobs] == [(None, "", 1)] * len(jobs)
