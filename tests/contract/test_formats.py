"""Workers of several versions on one Redis: who may work, and what goes when all of a thread is to go."""

from datetime import timedelta

import pytest

from worker.domain.formats import FORMAT
from worker.domain.threads import Entered, Thread, ThreadKey
from worker.errors import NewerFormat
from worker.redis import RedisThreadIndex, RedisThreads, open_redis
from worker.redis.format import RedisFormat
from worker.redis.keys import Keys

KEY = ThreadKey("default", "instance-1", "analyst")


async def test_the_highest_format_is_noted_for_each_engine(redis_url: str) -> None:
    async with open_redis(redis_url, connections=2) as redis:
        await RedisFormat(redis, prefix="aw", engine="default").check()
        await RedisFormat(redis, prefix="aw", engine="default").check()
        await RedisFormat(redis, prefix="aw", engine="default", format=FORMAT + 1).check()
        with pytest.raises(NewerFormat, match=f"format {FORMAT + 1} of a newer worker, and this one knows {FORMAT}"):
            await RedisFormat(redis, prefix="aw", engine="default").check()
        await RedisFormat(redis, prefix="aw", engine="another").check()


async def test_what_a_newer_worker_keeps_of_a_thread_goes_with_an_order_to_erase_and_not_by_age(redis_url: str) -> None:
    async with open_redis(redis_url, connections=2) as redis:
        lease = timedelta(seconds=30)
        threads = RedisThreads(redis, prefix="aw", lease=lease, keep=lease)
        entry = await threads.enter(KEY, "task-1")
        assert isinstance(entry, Entered)
        assert await threads.bind(entry.hold, Thread("conv_1", 1), 0)
        await threads.leave(entry.hold, asked=False, trouble=False)
        tag = Keys.of("aw", KEY).thread.removesuffix(":thread")
        await redis.set(f"{tag}:ask:7", "a text")
        await redis.hset(f"{tag}:people", mapping={"schema": "9", "who": "ann"})

        index = RedisThreadIndex(redis, prefix="aw", engine="default", lease=lease, keep=lease)
        for unrecorded, left in ((False, 2), (True, 0)):
            [kept] = await index.threads()
            hold = await index.reserve(KEY)
            assert hold is not None
            await index.forget(hold, kept, unrecorded=unrecorded)
            assert len(set(await redis.keys(f"{tag}:*")) - {f"{tag}:erased"}) == left
