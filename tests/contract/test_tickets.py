"""Tickets in a real Redis."""

import asyncio
from datetime import timedelta

import pytest

from worker.errors import StoreDown
from worker.redis import RedisTickets, open_redis

LONG = timedelta(seconds=30)


async def test_a_ticket_is_taken_once_whoever_takes_it(redis_url: str) -> None:
    async with open_redis(redis_url, connections=2) as one, open_redis(redis_url, connections=4) as other:
        await RedisTickets(one, prefix="aw").keep("digest", "text", LONG)
        taken = await asyncio.gather(*(RedisTickets(other, prefix="aw").take("digest") for _ in range(4)))
        assert sorted(each or "" for each in taken) == ["", "", "", "text"]
        assert await one.keys("*") == []


async def test_a_ticket_ends_by_itself(redis_url: str) -> None:
    async with open_redis(redis_url, connections=2) as redis:
        tickets = RedisTickets(redis, prefix="aw")
        await tickets.keep("digest", "text", timedelta(milliseconds=30))
        await asyncio.sleep(0.05)
        assert await tickets.take("digest") is None


async def test_without_redis_there_are_no_tickets() -> None:
    async with open_redis("redis://127.0.0.1:1/0", connections=1) as redis:
        tickets = RedisTickets(redis, prefix="aw")
        with pytest.raises(StoreDown):
            await tickets.keep("digest", "text", LONG)
        with pytest.raises(StoreDown):
            await tickets.take("digest")
