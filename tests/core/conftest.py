"""The core on fakes of its ports, in time that jumps."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from tests.core.chatting import Chatting
from tests.core.closing import Closing
from tests.core.deciding import Deciding
from tests.core.rig import Core
from tests.fakes.clock import JumpingLoop, wall_clock_of_the_loop
from worker.transcript import open_database


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test of this folder in a loop whose time jumps."""
    return {"jumping": JumpingLoop}


@pytest.fixture
async def core(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Core]:
    """An engine, a provider and a Redis that know nothing, and parts of workers on them."""
    wall_clock_of_the_loop(monkeypatch)
    core = Core()
    yield core
    await core.end()


class _Queue(SimpleQueue[Any]):
    """What SQLite's driver hands to its thread; the loop's time stands still until that is done."""

    def put_nowait(self, item: tuple[asyncio.Future[Any] | None, Callable[[], Any]]) -> None:
        future, _ = item
        if future is not None and isinstance(loop := future.get_loop(), JumpingLoop):
            loop.waits_for(future)
        super().put_nowait(item)


@pytest.fixture
async def closing(
    core: Core, empty_record: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Closing]:
    """What ends conversations, with a record in a file."""
    monkeypatch.setattr("aiosqlite.core.SimpleQueue", _Queue)
    shutil.copy(empty_record, tmp_path / "transcript.db")
    async with open_database(f"sqlite:///{tmp_path}/transcript.db") as database:
        yield Closing(core, database)


@pytest.fixture
def chatting(core: Core, closing: Closing) -> Chatting:
    """What answers persons, on the ground of what ends conversations."""
    return Chatting(core, closing)


@pytest.fixture
def deciding(core: Core) -> Deciding:
    """An instance in which a decision is made."""
    return Deciding(core)
