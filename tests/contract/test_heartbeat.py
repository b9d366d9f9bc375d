"""Heartbeats of workers, on one server and on a cluster."""

import pytest

from tests.waiting import wait_until
from worker.errors import StoreDown
from worker.ports.visits import HEARD_WITHIN
from worker.redis import RedisHeartbeat, open_redis
from worker.redis.connect import Client


async def test_who_lives_is_known_by_a_key_that_ends_by_itself(redis: Client) -> None:
    hearts = [RedisHeartbeat(redis, prefix="test", engine="a:b{c}", worker=name) for name in ("one", "two", "th}ree")]
    one, two, three = hearts
    names = [each.name for each in hearts]
    assert await one.gone(names) == set(names)
    for each in (one, one, three):
        await each.beat()
    assert await two.gone(names) == {two.name}
    assert await two.gone([]) == set()
    left = await redis.pttl(one.name)
    assert 0 < left <= HEARD_WITHIN.total_seconds() * 1000

    await redis.pexpire(three.name, 20)

    async def is_gone() -> bool:
        return await two.gone([one.name, three.name]) == {three.name}

    await wait_until(is_gone, what="the time to pass")
    await one.stop()
    await one.stop()
    assert await two.gone([one.name]) == {one.name}


async def test_engines_have_heartbeats_apart(redis: Client) -> None:
    one, other = [RedisHeartbeat(redis, prefix="test", engine=name, worker="one") for name in ("a", "b")]
    await one.beat()
    assert await other.gone([one.name, other.name]) == {other.name}


async def test_without_redis_nobody_is_called_gone() -> None:
    async with open_redis("redis://127.0.0.1:1/0", connections=1) as redis:
        heart = RedisHeartbeat(redis, prefix="test", engine="default", worker="one")
        with pytest.raises(StoreDown):
            await heart.beat()
        with pytest.raises(StoreDown):
            await heart.gone(["another"])
