"""Requests counted in a real Redis: for all workers together, one count for each person."""

import asyncio
from datetime import timedelta

import pytest

from worker.errors import StoreDown
from worker.ports.rates import Rate
from worker.redis import RedisRates, open_redis

NONE = timedelta(0)


async def test_workers_count_together_and_each_person_for_themselves(redis_url: str) -> None:
    async with open_redis(redis_url, connections=2) as one, open_redis(redis_url, connections=2) as other:
        workers = [RedisRates(each, prefix="aw") for each in (one, other)]
        rate = Rate(burst=5, per_second=0.01)
        taken = [await workers[number % 2].take("ann", rate) for number in range(7)]
        assert taken[:5] == [NONE] * 5
        assert all(timedelta(seconds=90) < each <= timedelta(seconds=100) for each in taken[5:])
        assert await workers[0].take("ben", rate) == NONE


async def test_requests_come_back_with_time_and_many_at_once_get_no_more(redis_url: str) -> None:
    async with open_redis(redis_url, connections=2) as redis:
        rates, rate = RedisRates(redis, prefix="aw"), Rate(burst=10, per_second=2)
        taken = await asyncio.gather(*(rates.take("ann", rate) for _ in range(30)))
        assert 10 <= sum(each == NONE for each in taken) <= 14
        wait = min(each for each in taken if each)
        assert wait <= timedelta(milliseconds=500)
        await asyncio.sleep(max(taken).total_seconds() + 0.01)
        assert await rates.take("ann", rate) == NONE


async def test_a_count_is_forgotten_when_it_is_full_again_and_an_odd_one_heals(redis_url: str) -> None:
    async with open_redis(redis_url, connections=2) as redis:
        rates = RedisRates(redis, prefix="aw")
        await rates.take("ann", Rate(burst=5, per_second=10))
        assert 0 < await redis.pttl("aw:{rate:ann}") <= 1200
        for odd in ("nonsense", "1e300", "-1e300", "nan"):
            await redis.set("aw:{rate:ann}", odd)
            waits = [await rates.take("ann", Rate(burst=2, per_second=10)) for _ in range(2)]
            assert max(waits) <= timedelta(milliseconds=200), odd
            await asyncio.sleep(0.21)
            assert await rates.take("ann", Rate(burst=2, per_second=10)) == NONE, odd
        await redis.delete("aw:{rate:ann}")
        await redis.hset("aw:{rate:ann}", "a", "b")
        assert await rates.take("ann", Rate()) == NONE


async def test_without_redis_nobody_can_be_counted_together() -> None:
    async with open_redis("redis://127.0.0.1:1/0", connections=1) as redis:
        with pytest.raises(StoreDown):
            await RedisRates(redis, prefix="aw").take("ann", Rate())
