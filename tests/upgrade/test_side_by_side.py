"""The worker of before and this one on the same stores: up, beside each other, and back."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.flow import command
from tests.flow.command import Command
from tests.flow.rig import Rig
from tests.upgrade.baseline import unpacked
from tests.waiting import wait_until
from worker import bootstrap
from worker.demo.processes import running
from worker.domain.conversations import EVERYTHING, Filter, MessageFilter

STEPS = ("frame", "alternatives", "evaluate", "recommend")


def place_of_worker(environment: dict[str, str], folder: Path) -> Path:
    """Say which worker a process in this environment would be."""
    command = [sys.executable, "-c", "import worker; print(worker.__file__)"]
    return Path(subprocess.check_output(command, env=environment, cwd=folder, text=True))


@asynccontextmanager
async def before(rig: Rig, folder: Path) -> AsyncIterator[Command]:
    """The earlier worker as a process."""
    environment = command.environment(rig) | {"PYTHONPATH": str(unpacked(folder))}
    assert place_of_worker(environment, folder).is_relative_to(folder), "this would be the worker of now"
    async with running(Command(environment)) as worker:
        yield worker


@pytest.mark.parametrize("flow_kept", ["postgresql"], indirect=True)
async def test_instances_go_through_up_beside_and_back(kept: Rig, tmp_path: Path) -> None:
    """Given a worker of before; when this one joins, takes over and is rolled back; then every instance has one thread
    with four turns, and the transcript has every exchange once.
    """
    kept.settings |= {"max_tasks": 4}
    model = await kept.deploy(*(kept.step(step, data_input="-") for step in STEPS))
    async with before(kept, tmp_path / "earlier"):
        first = [await kept.run(model) for _ in range(3)]
        async with command.started(kept):
            beside = [await kept.rest.start(model) for _ in range(12)]
            for instance in beside:
                await kept.rest.wait_for_end(instance)
    async with command.started(kept):
        alone = [await kept.run(model) for _ in range(3)]
    async with before(kept, tmp_path / "again"):
        back = [await kept.run(model) for _ in range(3)]
        every = [*first, *beside, *alone, *back]
        assert len(kept.questions()) == len(STEPS) * len(every)
        async with bootstrap.connect(kept.build_settings()) as adapters:
            for instance in every:
                await wait_until_recorded(adapters, instance)


async def wait_until_recorded(adapters: bootstrap.Adapters, instance: str) -> None:
    """One session with four exchanges, on one thread."""
    reader = adapters.conversations
    assert reader is not None

    async def whole() -> bool:
        sessions = await reader.sessions(Filter(instance=instance), within=EVERYTHING)
        said = await reader.messages(MessageFilter(instance=instance), within=EVERYTHING)
        threads = {message.thread_id for message in said.items}
        return (len(sessions.items), len(said.items), len(threads)) == (1, 2 * len(STEPS), 1)

    await wait_until(whole, 30, f"the record of {instance}")
