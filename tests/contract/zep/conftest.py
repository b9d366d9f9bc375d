"""The adapter for Zep on the stand-in, in each of its dialects."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.zep.rig import DIALECTS, Rig
from tests.fakes.known_ids import KnownIds
from tests.zep.stand_in import ZepStandIn, standing_in
from worker.zep import Dialect


@pytest.fixture
async def zep() -> AsyncIterator[ZepStandIn]:
    async with standing_in() as zep:
        yield zep


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    chosen: Dialect = request.param
    return chosen


@pytest.fixture
async def rig(zep: ZepStandIn, dialect: Dialect) -> AsyncIterator[Rig]:
    """An adapter, and what makes more of them, as other workers have."""
    async with Rig(zep, dialect, KnownIds()) as rig:
        yield rig
