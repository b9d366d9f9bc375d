"""Stops in a real Redis: ordered, read, lifted, by workers of several versions."""

from datetime import UTC, datetime

import pytest

from worker.domain.stops import KINDS, Stop, Stops
from worker.errors import StopOfOthers, StoreDown
from worker.redis import RedisStops, open_redis

AT = datetime(2026, 5, 4, 12, tzinfo=UTC)
FIELD = "aw:default:stops"


async def test_a_stop_is_there_for_its_engine_until_it_is_lifted_and_each_may_be_repeated(redis_url: str) -> None:
    async with open_redis(redis_url, connections=2) as redis:
        book = RedisStops(redis, prefix="aw", engine="default")
        stops = [
            Stop(kind, "" if kind == "all" else "né:w x", "ann", AT, 'a "reason"', kind == "topic") for kind in KINDS
        ]
        for each in stops * 2:
            await book.stop(each)

        assert await book.read() == Stops(tuple(stops))
        assert await redis.ttl(FIELD) == -1, "only a person lifts it"
        assert await RedisStops(redis, prefix="aw", engine="another").read() == Stops()
        assert [await book.lift("all", ""), await book.lift("all", "")] == [True, False]
        assert await book.read() == Stops(tuple(stops[1:]))


async def test_an_order_that_is_given_again_counts_as_the_last_one(redis_url: str) -> None:
    async with open_redis(redis_url, connections=2) as redis:
        book = RedisStops(redis, prefix="aw", engine="default")
        await book.stop(Stop("topic", "t", "ann", AT, "why"))
        await book.stop(Stop("topic", "t", "bob", AT, now=True))
        assert (await book.read()).known == (Stop("topic", "t", "bob", AT, "", now=True),)


async def test_who_is_limited_changes_only_what_others_with_limits_have_stopped(redis_url: str) -> None:
    free, limited = Stop("tenant", "north", "ann", AT), Stop("tenant", "north", "bob", AT, limited=True)
    async with open_redis(redis_url, connections=2) as redis:
        book = RedisStops(redis, prefix="aw", engine="default")

        async def refused() -> bool:
            before = await redis.hgetall(FIELD)
            with pytest.raises(StopOfOthers, match="limited to tenants"):
                await book.stop(limited)
            with pytest.raises(StopOfOthers):
                await book.lift("tenant", "north", limited=True)
            return bool(before == await redis.hgetall(FIELD))

        await book.stop(free)
        assert await refused()
        assert await book.lift("tenant", "north")
        for _ in range(2):
            await book.stop(limited)
        assert (await book.read()).known == (limited,)
        assert [await book.lift("tenant", "north", limited=True) for _ in range(2)] == [True, False]
        await book.stop(limited)
        await book.stop(free)
        assert (await book.read()).known == (free,)
        for of_others in ('{"schema": 1, "by": "an older worker", "since": "2026-05-04T12:00:00+00:00"}', "[1]", "{"):
            await redis.hset(FIELD, "tenant:north", of_others)
            assert await refused()


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("region:eu", '{"schema": 1, "by": "ann", "since": "2026-05-04T12:00:00+00:00"}', "is a newer worker's"),
        ("topic:t", '{"schema": 2}', "is a newer worker's"),
        ("topic:t", "{", "cannot be read"),
        ("topic:t", "[]", "cannot be read"),
        ("topic:t", '{"schema": 1, "by": "ann", "since": "yesterday"}', "cannot be read"),
    ],
)
async def test_what_no_one_here_can_read_is_said_and_hides_no_other_stop(
    redis_url: str, field: str, text: str, said: str
) -> None:
    async with open_redis(redis_url, connections=2) as redis:
        book = RedisStops(redis, prefix="aw", engine="default")
        await book.stop(Stop("all", "", "ann", AT))
        await redis.hset(FIELD, field, text)
        read = await book.read()

    assert [each.what for each in read.known] == ["everything"]
    assert [said in line and repr(field) in line for line in read.ignored] == [True]


async def test_a_field_more_is_left_out(redis_url: str) -> None:
    async with open_redis(redis_url, connections=2) as redis:
        text = '{"schema": 1, "by": "ann", "since": "2026-05-04T14:00:00+02:00", "until": "tomorrow"}'
        await redis.hset(FIELD, "tenant:north", text)
        assert (await RedisStops(redis, prefix="aw", engine="default").read()).known == (
            Stop("tenant", "north", "ann", AT),
        )


async def test_a_key_of_another_type_is_an_error_that_is_ours(redis_url: str) -> None:
    async with open_redis(redis_url, connections=2) as redis:
        await redis.set(FIELD, "text")
        with pytest.raises(StoreDown):
            await RedisStops(redis, prefix="aw", engine="default").read()
