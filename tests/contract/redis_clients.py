"""Redis as the contract tests have it: fakeredis, and real servers alone, under Sentinel and as a cluster."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import fakeredis
import pytest

from worker.redis import open_redis
from worker.redis.connect import Client


@asynccontextmanager
async def redis_client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """Open the one that the fixture's parameter names."""
    if request.param == "fakeredis":
        async with fakeredis.FakeAsyncRedis(decode_responses=True) as client:
            yield client
    else:
        url: str = request.getfixturevalue({"valkey": "redis_url"}.get(request.param, f"{request.param}_url"))
        async with open_redis(url, connections=30) as client:
            yield client
