"""The rig of a flow test."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.flow.rig import Rig
from tests.rest import EngineRest
from worker.dev.model import ModelServer


@pytest.fixture
async def rig(engine_rest: EngineRest, redis_url: str, tmp_path: Path) -> AsyncIterator[Rig]:
    """One assistant, `analyst`, and everything else ready; no worker runs yet."""
    folder = tmp_path / "assistants"
    folder.mkdir()
    async with ModelServer() as provider:
        rig = Rig(engine_rest, provider, redis_url, folder)
        rig.assistant()
        try:
            yield rig
        finally:
            for worker in rig.workers:
                worker.stopping.set()
                worker.hurry.set()
            await asyncio.gather(*(worker.task for worker in rig.workers), return_exceptions=True)
