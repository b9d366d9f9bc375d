"""The world of a fault test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.crowd import crowd  # noqa: F401 - a fixture of all tests here
from tests.faults.world import World, databases, open_world
from tests.nursery import Nursery
from tests.rest import EngineRest
from worker.demo.processes import running
from worker.demo.servers import Valkey


@pytest.fixture
async def world(engine_rest: EngineRest, nursery: Nursery, valkey: Valkey, tmp_path: Path) -> AsyncIterator[World]:
    """Everything behind proxies; no worker runs yet."""
    async with open_world(engine_rest, nursery, valkey, next(databases), tmp_path) as world:
        yield world


@pytest.fixture
async def own_valkey(engine_rest: EngineRest, nursery: Nursery, tmp_path: Path) -> AsyncIterator[World]:
    """The same with a Redis of its own, `world.valkey`, that may be stopped and spoiled."""
    async with running(Valkey()) as valkey, open_world(engine_rest, nursery, valkey, 0, tmp_path) as world:
        yield world
