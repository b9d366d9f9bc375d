"""What is told of an answer while it is written, on each kind of Redis."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from tests.contract.redis_clients import redis_client
from tests.waiting import wait_until
from worker.domain.threads import Entered, Thread, ThreadKey
from worker.domain.watching import Look, Speaker
from worker.redis import RedisThreads, RedisWatchers, RedisWindows
from worker.redis.connect import Client
from worker.redis.keys import Keys

KEY = ThreadKey(engine="default", scope="instance-1", assistant="analyst")
MINUTE = timedelta(minutes=1)


@pytest.fixture(params=["fakeredis", "valkey", "sentinel", "cluster"])
async def redis(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    async with redis_client(request) as client:
        yield client


@pytest.fixture
def windows(redis: Client) -> RedisWindows:
    return RedisWindows(redis, prefix="test")


async def test_whoever_looks_is_told_of_the_call_that_begins_then(redis: Client, windows: RedisWindows) -> None:
    threads = RedisThreads(redis, prefix="test", lease=MINUTE, keep=MINUTE)
    entry = await threads.enter(KEY, "task-1")
    assert isinstance(entry, Entered)
    await threads.bind(entry.hold, Thread("conv_1", 1), 0)
    alone = await threads.intend(entry.hold, 1, MINUTE)
    look = await windows.look(KEY, Look())
    watched = await threads.intend(entry.hold, 1, MINUTE, Speaker("drones", "instance-1"))
    assert alone is not None
    assert watched is not None
    assert (alone.watched, watched.watched) == (False, True)
    assert look.turn is not None
    assert (look.turn.task_id, look.turn.is_held) == ("task-1", True)
    assert look.turn.whose is None, "not before its first call"
    turn = (await windows.look(KEY, look)).turn
    assert turn is not None
    assert (turn.state, turn.whose) == ("intent", Speaker("drones", "instance-1"))

    async with RedisWatchers(redis, prefix="test") as watchers:
        assert watchers.watcher(KEY, "task-1", 1, watched=False) is None
        watcher = watchers.watcher(KEY, "task-1", 1, watched=True)
        assert watcher is not None
        watcher.began()
        texts = ["Take ", "the ü ", "\U0001f600 one."]
        for text in texts:
            watcher.said(text)
            await asyncio.sleep(0.05)
        watcher.ended()
        pieces: list[Any] = []

        async def is_over() -> bool:
            nonlocal look
            look = await windows.look(KEY, look)
            pieces.extend(look.pieces)
            return bool(pieces) and pieces[-1].is_last

        await wait_until(is_over)
    assert "".join(piece.text for piece in pieces) == "".join(texts)
    assert [piece.offset for piece in pieces] == [sum(len(p.text) for p in pieces[:n]) for n in range(len(pieces))]
    keys = Keys.of("test", KEY)
    assert 0 < await redis.pttl(keys.live) <= 600_000
    assert 0 < await redis.pttl(keys.watched) <= 30_000


async def test_what_stands_there_and_is_none_of_ours_is_dropped(redis: Client, windows: RedisWindows) -> None:
    await redis.set(Keys.of("test", KEY).live, "text")
    assert await windows.look(KEY, Look()) == Look()
    async with RedisWatchers(redis, prefix="test") as watchers:
        watcher = watchers.watcher(KEY, "task-1", 1, watched=True)
        assert watcher is not None
        watcher.began()
        watcher.said("Take it.")

        async def told() -> bool:
            return [piece.text for piece in (await windows.look(KEY, Look())).pieces] == ["Take it."]

        await wait_until(told)


async def test_two_who_look_at_one_thread_both_hear_all(redis: Client, windows: RedisWindows) -> None:
    looks = [Look(), Look()]
    heard: list[str] = ["", ""]
    async with RedisWatchers(redis, prefix="test") as watchers:
        watcher = watchers.watcher(KEY, "task-1", 1, watched=True)
        assert watcher is not None
        watcher.began()
        for number in range(20):
            watcher.said(f"{number} ")
            for index in (0, 1):
                looks[index] = await windows.look(KEY, looks[index])
                heard[index] += "".join(piece.text for piece in looks[index].pieces)
            await asyncio.sleep(0.02)
        watcher.ended()

        async def all_heard() -> bool:
            for index in (0, 1):
                looks[index] = await windows.look(KEY, looks[index])
                heard[index] += "".join(piece.text for piece in looks[index].pieces)
            return {*heard} == {"".join(f"{number} " for number in range(20))}

        await wait_until(all_heard)
