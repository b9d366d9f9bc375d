"""Ids that a memory has given to what is ours, in Redis: a key for each."""

from datetime import timedelta
from typing import Final, cast
from urllib.parse import quote

from worker.errors import MemoryDown, StoreDown
from worker.redis.connect import Client
from worker.redis.runner import Runner, ms

KEPT_FOR: Final = timedelta(days=90)
"""After it was last learned; then the memory is asked again."""


class RedisKnownIds:
    """Implements `ports.memory.KnownIds` for every engine's workers. `memory` names who has given them."""

    def __init__(self, redis: Client, *, prefix: str, memory: str) -> None:
        self._redis = redis
        self._runner = Runner(redis)
        self._prefix = f"{prefix}:{{known:{memory}"

    async def get(self, name: str) -> str | None:
        """See `ports.memory.KnownIds.get`."""
        try:
            return cast("str | None", await self._runner.command(self._redis.get(self._key(name))))
        except StoreDown as exc:
            raise MemoryDown(f"its ids cannot be looked up: {exc}") from exc

    async def put(self, name: str, theirs: str) -> None:
        """See `ports.memory.KnownIds.put`."""
        try:
            await self._runner.command(self._redis.set(self._key(name), theirs, px=ms(KEPT_FOR)))
        except StoreDown as exc:
            raise MemoryDown(f"its ids cannot be noted: {exc}") from exc

    def _key(self, name: str) -> str:
        return f"{self._prefix}:{quote(name, safe='')}}}"
