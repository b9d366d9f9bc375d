"""What is known of files at a provider, in each kind of Redis: noted, taken back, and locked by one."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.waiting import wait_until
from worker.domain.file_stores import FileStore, Kept, Upload
from worker.domain.providers import ProviderSpec
from worker.errors import NewerRecord, StoreDown
from worker.redis import RedisFileStores, open_redis
from worker.redis.connect import Client

AT = datetime(2026, 5, 4, 12, tzinfo=UTC)
SPEC = ProviderSpec("né:w x", key="sk-1")
LEASE = timedelta(seconds=30)


def book(redis: Client, spec: ProviderSpec = SPEC, engine: str = "default") -> RedisFileStores:
    return RedisFileStores(redis, prefix="aw", engine=engine, spec=lambda: spec)


def store(known: RedisFileStores, mark: str = "m1", digest: str = "d") -> FileStore:
    return FileStore(digest, mark, known.account, (("né:1.txt", "aa"), ("b.txt", "bb")), AT)


async def test_what_is_noted_is_read_as_it_was_by_every_worker(redis: Client) -> None:
    known = book(redis)
    first, upload = store(known), Upload("aa", 'né "a:".txt', known.account)
    assert [await known.begin(first), await known.begin(store(known, "m2"))] == [first, first]
    assert await known.begin_upload(upload) == upload
    made = replace(first, id="vs_1", ready=True)
    await known.note(made)
    await known.note(replace(upload, id="file_1"))

    again = book(redis)
    assert await again.store("d") == made
    assert await again.upload("aa") == replace(upload, id="file_1")
    assert await again.everything() == Kept((made,), (replace(upload, id="file_1"),))
    assert await again.store("another") is None
    assert await again.upload("bb") is None


async def test_only_what_still_stands_there_is_taken_back(redis: Client) -> None:
    known = book(redis)
    first = await known.begin(store(known))
    made = replace(first, id="vs_1")
    await known.note(made)
    assert not await known.forget(first)
    assert await known.store("d") == made
    assert [await known.forget(made), await known.forget(made)] == [True, False]
    assert await known.everything() == Kept()


async def test_another_key_engine_and_provider_know_nothing_of_it_but_that_it_is_there(redis: Client) -> None:
    made = await book(redis).begin(store(book(redis)))
    other = book(redis, replace(SPEC, key="sk-2"))
    assert other.account != made.account
    assert await other.store("d") is None
    assert (await other.everything()).stores == (made,)
    for stranger in (book(redis, engine="b"), book(redis, replace(SPEC, name="other"))):
        assert await stranger.everything() == Kept()


async def test_the_lock_is_one_workers_until_it_lets_go_or_its_lease_is_over(redis: Client) -> None:
    one, other = book(redis), book(redis)
    assert [await one.lock("a", LEASE), await other.lock("b", LEASE)] == [True, False]
    assert await one.renew("a", LEASE)
    assert not await other.renew("b", LEASE)
    await other.unlock("b")
    assert not await other.lock("b", LEASE)
    await one.unlock("a")
    await wait_until(lambda: other.lock("b", LEASE), what="the lock")
    [key] = [name async for name in redis.scan_iter("*:lock")]
    assert 0 < await redis.pttl(key) <= LEASE.total_seconds() * 1000


async def test_of_many_that_begin_at_once_one_counts(redis: Client) -> None:
    known = book(redis)
    begun = await asyncio.gather(*(known.begin(store(known, f"m{number}")) for number in range(20)))
    assert len({each.mark for each in begun}) == 1


async def test_a_newer_workers_note_is_left_alone_and_rubbish_counts_as_absent(redis: Client) -> None:
    known = book(redis)
    made = await known.begin(store(known))
    [name] = [name async for name in redis.scan_iter("aw:*")]
    [field] = await redis.hkeys(name)
    await redis.hset(name, field, '{"schema": 2, "id": 7}')
    for asked in (known.store("d"), known.everything(), known.begin(made)):
        with pytest.raises(NewerRecord):
            await asked
    assert await redis.hget(name, field) == '{"schema": 2, "id": 7}'
    for rubbish in ("no JSON", "[]", '{"schema": 1}', "7"):
        await redis.hset(name, field, rubbish)
        assert await known.store("d") is None
        assert await known.begin(made) == made
        assert await known.store("d") == made


async def test_without_redis_nothing_is_taken_for_absent() -> None:
    async with open_redis("redis://127.0.0.1:1/0", connections=1) as redis:
        known = book(redis)
        for asked in (known.store("d"), known.everything(), known.lock("a", LEASE)):
            with pytest.raises(StoreDown):
                await asked
