"""The core on fakes of its ports, in time that jumps."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from tests.core.rig import Core
from tests.fakes.clock import JumpingLoop, wall_clock_of_the_loop


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
