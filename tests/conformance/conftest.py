"""What a modeller can say, shown on the engine that TEST_ENGINE names."""

from collections.abc import AsyncIterator

import pytest

from tests.flow.conftest import kept
from tests.flow.conftest import rig as flow_rig
from tests.flow.rig import Rig

__all__ = ["flow_rig", "kept", "rig"]


@pytest.fixture
async def rig(flow_rig: Rig) -> AsyncIterator[Rig]:
    """The rig of the flow tests, whose workers are cut off at the end: a clean stop takes a poll's length."""
    yield flow_rig
    for worker in flow_rig.workers:
        await worker.kill()
