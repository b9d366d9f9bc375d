"""A fleet of two rolls from the worker of before to this one and back, one process at a time, under a steady feed."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.flow import command
from tests.flow.command import Command
from tests.flow.conftest import empty_database, kept, record_server, rig
from tests.flow.rig import Rig
from tests.models import Model
from tests.upgrade.test_side_by_side import before
from tests.waiting import wait_until
from worker.demo.processes import running

__all__ = ["empty_database", "kept", "record_server", "rig"]

STEPS = ("frame", "alternatives", "evaluate", "recommend")
EVERY_SECONDS = 0.5


async def feed(rig: Rig, model: Model, started: list[str], over: asyncio.Event) -> None:
    """Start an instance twice a second, whatever becomes of them, until it is over."""
    while not over.is_set():
        started.append(await rig.rest.start(model))
        await asyncio.sleep(EVERY_SECONDS)


async def has(instances: list[str], count: int) -> bool:
    return len(instances) >= count


@asynccontextmanager
async def now(rig: Rig, _: Path) -> AsyncIterator[Command]:
    async with running(Command(command.environment(rig))) as worker:
        yield worker


@pytest.mark.parametrize("kept", ["postgresql"], indirect=True)
async def test_a_fleet_rolls_forth_and_back_under_load_and_nothing_is_lost_or_doubled(
    kept: Rig, tmp_path: Path
) -> None:
    """Given two workers of before; when each is replaced, and then each is rolled back, while instances keep coming;
    then each instance ended on one thread, each of its steps was asked and completed once, and no retry was spent.
    """
    kept.settings |= {"max_tasks": 4, "lock_seconds": 10, "grace_seconds": 10}
    model = await kept.deploy(*(kept.step(step, data_input="-") for step in STEPS))
    instances: list[str] = []
    over = asyncio.Event()
    async with AsyncExitStack() as stack:
        fleet = [stack.enter_async_context(before(kept, tmp_path / f"before-{number}")) for number in range(2)]
        workers = list(await asyncio.gather(*fleet))
        feeding = asyncio.create_task(feed(kept, model, instances, over))
        for round_, kind in enumerate((now, now, before, before)):
            gone = workers.pop(0)
            workers.append(await stack.enter_async_context(kind(kept, tmp_path / f"round-{round_}")))
            await asyncio.to_thread(gone.stop)
            assert gone.returncode == 0
            enough = len(instances) + 8
            await wait_until(partial(has, instances, enough), 60, "more instances")
        over.set()
        await feeding
        for instance in instances:
            await kept.rest.wait_for_end(instance, 60)

    key = {"processDefinitionKey": model.key}
    log = "history/external-task-log/count"
    asked = Counter(question.splitlines()[-1] for question in kept.questions())
    assert len(instances) >= 32
    assert (len(asked), asked.total()) == (len(STEPS) * len(instances),) * 2
    assert len(kept.provider.conversations()) == len(instances)
    assert (await kept.rest.get(log, successLog=True, **key))["count"] == len(STEPS) * len(instances)
    assert (await kept.rest.get(log, failureLog=True, **key))["count"] == 0
