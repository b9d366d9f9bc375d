"""A world whose provider is OGX. The servers start once for all tests here."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.faults.world import World, databases, open_world
from tests.nursery import Nursery
from tests.ogx.servers import MODEL, Aimock, Ogx
from tests.rest import EngineRest
from worker.demo.servers import Valkey

SPEC = """\
---
name: analyst
version: "1.0"
model: {model}
timeout_seconds: 30
---
You are an analyst.
"""


@pytest.fixture(scope="session")
def aimock() -> Iterator[Aimock]:
    """The model of all tests; they tell their calls apart by the words of their questions."""
    with Aimock() as aimock:
        yield aimock


@pytest.fixture(scope="session")
def ogx(aimock: Aimock) -> Iterator[Ogx]:
    """A test that kills it starts it again."""
    with Ogx(aimock.url) as ogx:
        yield ogx


@pytest.fixture
async def world(
    engine_rest: EngineRest, nursery: Nursery, valkey: Valkey, ogx: Ogx, tmp_path: Path
) -> AsyncIterator[World]:
    """Everything but a worker; workers ask OGX and keep a transcript."""
    async with open_world(engine_rest, nursery, valkey, next(databases), tmp_path) as world:
        world.rig.settings |= {
            "openai_base_url": ogx.url,
            "transcript_url": f"sqlite:///{tmp_path}/transcript.db",
            "api_port": 0,
        }
        (world.rig.folder / "analyst@1.0.md").write_text(SPEC.format(model=MODEL))
        yield world
