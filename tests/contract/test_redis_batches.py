"""Commands that are asked for at the same time go together, and none of them pays for another."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.exceptions import RedisError, ResponseError

from tests.contract.redis_wire import Wire, wire
from worker.demo.servers import Valkey
from worker.redis import connect
from worker.redis.connect import Client, open_redis


@pytest.fixture
async def line(valkey: Valkey) -> AsyncIterator[Wire]:
    async with wire(valkey.port) as line:
        yield line


@pytest.fixture
async def redis(line: Wire, redis_url: str, valkey: Valkey) -> AsyncIterator[Client]:
    async with open_redis(redis_url.replace(str(valkey.port), str(line.port)), connections=50) as client:
        await client.ping()
        yield client


async def test_what_is_asked_for_at_the_same_time_is_sent_at_once(redis: Client, line: Wire) -> None:
    before = line.commands
    replies = await asyncio.gather(*(redis.set(f"key-{number}", number) for number in range(15)))

    assert replies == [True] * 15
    assert line.commands - before == 1


async def test_many_commands_take_few_connections_and_each_gets_its_own_reply(redis: Client, line: Wire) -> None:
    async def one(number: int) -> object:
        for _ in range(5):
            await redis.set(f"key-{number}", number)
            await asyncio.sleep(0)  # the next ones come in between
        return await redis.get(f"key-{number}")

    assert await asyncio.gather(*map(one, range(100))) == [str(number) for number in range(100)]
    assert line.connections <= connect.BATCHES_AT_ONCE


async def test_more_than_a_batch_holds_goes_in_several_at_the_same_time(redis: Client, line: Wire) -> None:
    replies = await asyncio.gather(*(redis.set(f"key-{number}", number) for number in range(3 * connect.LARGEST_BATCH)))

    assert replies == [True] * len(replies)
    assert line.connections == 3


async def test_a_command_that_is_refused_fails_alone(redis: Client) -> None:
    await redis.set("text", "x")
    first, wrong, last = await asyncio.gather(
        redis.get("text"), redis.lpush("text", "y"), redis.set("other", "z"), return_exceptions=True
    )

    assert (first, last) == ("x", True)
    assert isinstance(wrong, ResponseError)


async def test_one_that_is_given_up_disturbs_no_other(redis: Client) -> None:
    kept, given_up = [asyncio.ensure_future(redis.set(name, "x")) for name in ("kept", "given up")]
    await asyncio.sleep(0)  # both wait to be sent
    given_up.cancel()

    assert await kept is True
    assert given_up.cancelled()
    assert await redis.get("kept") == "x"


async def test_while_nobody_answers_all_that_wait_hear_of_it_and_the_next_ones_work(redis: Client, line: Wire) -> None:
    line.silent = True
    many = (connect.BATCHES_AT_ONCE + 1) * connect.LARGEST_BATCH  # more than find a place
    heard = await asyncio.gather(*(redis.get(f"key-{number}") for number in range(many)), return_exceptions=True)
    assert [isinstance(each, RedisError | TimeoutError) for each in heard] == [True] * many

    line.silent = False
    assert await redis.set("key", "x") is True


async def test_who_waits_long_for_a_turn_has_a_reply_where_others_get_theirs(redis: Client, line: Wire) -> None:
    line.delay_seconds = 0.5
    places = connect.BATCHES_AT_ONCE * connect.LARGEST_BATCH
    many = places * int(connect.STALL.total_seconds() / line.delay_seconds + 2)  # the last ones wait longer than STALL
    replies = await asyncio.gather(*(redis.set(f"key-{number}", number) for number in range(many)))

    assert replies == [True] * many


@pytest.mark.parametrize("text", ["plain", "é", "half \ud83d a pair"])
async def test_texts_arrive_as_redis_py_writes_them_down(redis: Client, text: str) -> None:
    await redis.set("key", text)

    assert await redis.get("key") == text.encode("utf-8", "backslashreplace").decode()
