"""Heartbeats of workers in Redis: a key for each worker, which is gone soon after the worker."""

import asyncio
from collections.abc import Collection

from worker.ports.visits import HEARD_WITHIN
from worker.redis import keys
from worker.redis.connect import Client
from worker.redis.runner import Runner, ms


class RedisHeartbeat:
    """Implements `ports.visits.Heartbeat` for one engine."""

    def __init__(self, redis: Client, *, prefix: str, engine: str, worker: str) -> None:
        self._redis = redis
        self._runner = Runner(redis)
        self.name = keys.heartbeat(prefix, engine, worker)

    async def beat(self) -> None:
        """See `ports.visits.Heartbeat.beat`."""
        await self._runner.command(self._redis.set(self.name, "1", px=ms(HEARD_WITHIN)))

    async def stop(self) -> None:
        """See `ports.visits.Heartbeat.stop`."""
        await self._runner.command(self._redis.delete(self.name))

    async def gone(self, names: Collection[str]) -> frozenset[str]:
        """See `ports.visits.Heartbeat.gone`."""
        asked = sorted(names)
        found = await asyncio.gather(*(self._runner.command(self._redis.exists(name)) for name in asked))
        return frozenset(name for name, is_there in zip(asked, found, strict=True) if not is_there)
