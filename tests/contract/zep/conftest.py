"""The adapter for Zep on the stand-in, in each of its dialects."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.zep.rig import DIALECTS, Rig
from tests.fakes.known_ids import KnownIds
from tests.zep.stand_in import ZepStandIn
from worker.zep import Dialect


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    chosen: Dialect = request.param
    return chosen


@pytest.fixture
async def rig(zep: ZepStandIn, dialect: Dialect) -> AsyncIterator[Rig]:
    """An adapter, and what makes more of them, as other workers have."""
    async with Rig(zep, dialect, KnownIds()) as rig:
        yield rig
