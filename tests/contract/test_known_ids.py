"""Ids that a memory has given, in a real Redis."""

import pytest

from worker.errors import MemoryDown
from worker.redis import RedisKnownIds, open_redis
from worker.redis.ids import KEPT_FOR


async def test_what_one_worker_has_learned_every_other_one_knows(redis_url: str) -> None:
    async with open_redis(redis_url, connections=2) as one, open_redis(redis_url, connections=2) as other:
        mine, theirs = (RedisKnownIds(each, prefix="aw", memory="zep") for each in (one, other))
        assert await mine.get("a}b/made") is None
        await mine.put("a}b/made", "uuid-1")
        await mine.put("a}b/made", "uuid-2")
        assert await theirs.get("a}b/made") == "uuid-2"
        assert await RedisKnownIds(other, prefix="aw", memory="another").get("a}b/made") is None
        [key] = await one.keys("*")
        assert 0 < await one.pttl(key) <= KEPT_FOR.total_seconds() * 1000


async def test_without_redis_the_memory_is_down_and_nothing_is_taken_for_absent() -> None:
    async with open_redis("redis://127.0.0.1:1/0", connections=1) as redis:
        known = RedisKnownIds(redis, prefix="aw", memory="zep")
        with pytest.raises(MemoryDown):
            await known.get("a")
        with pytest.raises(MemoryDown):
            await known.put("a", "uuid-1")
