"""Feeds counted in a real Redis: for all workers together, as long as these say so."""

import asyncio

import pytest

from worker.errors import StoreDown
from worker.redis import RedisFeedCounts, open_redis
from worker.redis.connect import Client


def counts(redis: Client, worker: str) -> RedisFeedCounts:
    return RedisFeedCounts(redis, prefix="aw", engine="default", worker=worker)


async def test_workers_count_together_and_what_is_told_again_changes_nothing(redis_url: str) -> None:
    async with open_redis(redis_url, connections=2) as redis:
        one, two = counts(redis, "1"), counts(redis, "2")
        assert await one.tell("ann", 2, 3)
        assert [await two.tell("ann", 1, 3) for _ in range(3)] == [True] * 3
        assert not await two.tell("ann", 2, 3)
        assert not await one.tell("ann", 3, 3)
        assert await two.tell("ben", 3, 3)
        assert await one.tell("ann", 0)
        assert await two.tell("ann", 3, 3), "what was refused left the count as it was"
        assert await one.tell("ann", 9), "what is open is open"
        assert not await two.tell("ann", 3, 3)
        for each in (one, two):
            assert await each.tell("ann", 0)
        assert await redis.exists("aw:{feeds:ann}") == 0


async def test_of_many_at_once_no_more_are_counted_than_there_may_be(redis_url: str) -> None:
    async with open_redis(redis_url, connections=4) as redis:
        told = await asyncio.gather(*(counts(redis, str(number)).tell("ann", 1, 5) for number in range(20)))
        assert told.count(True) == 5


async def test_a_worker_that_says_nothing_more_is_not_counted_and_odd_fields_heal(redis_url: str) -> None:
    key = "aw:{feeds:ann}"
    async with open_redis(redis_url, connections=2) as redis:
        one = counts(redis, "1")
        for odd in ("3 1", "nonsense", "", "3", "-3 9999999999999", "1e300 1e300", "3 nan"):
            await redis.hset(key, "default/2", odd)
            assert await one.tell("ann", 3, 3), odd
            assert await redis.hkeys(key) == ["default/1"], odd
        assert 25_000 < await redis.pttl(key) <= 30_000
        await redis.delete(key)
        await redis.set(key, "a string")
        assert await one.tell("ann", 3, 3)


async def test_without_redis_nobody_can_be_counted_together() -> None:
    async with open_redis("redis://127.0.0.1:1/0", connections=1) as redis:
        with pytest.raises(StoreDown):
            await counts(redis, "1").tell("ann", 1, 3)
