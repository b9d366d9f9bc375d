"""A replica that lost the last second becomes the primary: what that costs, and what it must not cost."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest

from tests.servers.redis_cluster import SentinelValkey
from tests.waiting import wait_until
from worker.domain.threads import Answer, Answered, Busy, Entered, Thread, ThreadKey
from worker.errors import StoreDown
from worker.redis import RedisThreads, open_redis

KEY = ThreadKey("default", "instance-1", "analyst")
MINUTE = timedelta(minutes=1)


@pytest.fixture
def servers() -> Iterator[SentinelValkey]:
    with SentinelValkey() as servers:
        yield servers


@pytest.fixture
async def threads(servers: SentinelValkey) -> AsyncIterator[RedisThreads]:
    async with open_redis(servers.url(), connections=10) as client:
        yield RedisThreads(client, prefix="test", lease=MINUTE, keep=timedelta(days=1))


async def entered(threads: RedisThreads, task_id: str, key: ThreadKey = KEY) -> Entered:
    entry = await threads.enter(key, task_id)
    assert isinstance(entry, Entered)
    return entry


async def answers(threads: RedisThreads) -> bool:
    try:
        await threads.ping()
    except StoreDown:
        return False
    return True


async def promote(servers: SentinelValkey, threads: RedisThreads, *, by: str = "kill") -> None:
    """End the master, or only freeze it, and wait until the same client works with the replica."""
    if by == "kill":
        servers.master.kill()
    else:
        servers.master.signal(signal.SIGSTOP)
    await asyncio.to_thread(servers.await_promotion)
    await wait_until(lambda: answers(threads), 20, "the client to find the new master")


async def test_what_was_replicated_is_all_there_after_a_promotion(
    servers: SentinelValkey, threads: RedisThreads
) -> None:
    entry = await entered(threads, "task-1")
    assert await threads.bind(entry.hold, Thread("conv_1", 1), 0)
    assert await threads.intend(entry.hold, 1, MINUTE)
    with servers.master.client() as master:
        assert master.wait(1, 5000) == 1

    await promote(servers, threads)

    assert await threads.enter(KEY, "task-2") == Busy()
    assert await threads.enter(KEY, "task-1") == Busy(), "its worker may live, and a call of it run"
    await threads.leave(entry.hold, asked=True, trouble=False)
    again = await entered(threads, "task-1")
    assert again.thread == Thread("conv_1", 1)
    assert again.asked


@pytest.mark.parametrize("by", ["kill", "freeze"])
async def test_a_hold_of_the_lost_second_binds_nothing_while_another_task_has_the_thread(
    servers: SentinelValkey, threads: RedisThreads, by: str
) -> None:
    await asyncio.to_thread(servers.cut_replication)
    stale = await entered(threads, "task-1")
    await promote(servers, threads, by=by)

    holder = await entered(threads, "task-2")
    assert holder.thread is None
    assert not await threads.bind(stale.hold, Thread("conv_1", 1), 0), "nothing but its token speaks against it"
    assert await threads.bind(holder.hold, Thread("conv_2", 1), 0)

    assert not await threads.bind(stale.hold, Thread("conv_1", 2), 1)
    assert not await threads.intend(stale.hold, 1, MINUTE)
    assert not await threads.renew(stale.hold)
    assert await threads.renew(holder.hold), "the stale one has taken nothing away"
    await threads.leave(holder.hold, asked=False, trouble=False)
    assert (await entered(threads, "task-3")).thread == Thread("conv_2", 1)


async def test_a_stale_bind_without_a_rival_is_refused_too_and_costs_one_more_thread(
    servers: SentinelValkey, threads: RedisThreads
) -> None:
    first = await entered(threads, "task-1")
    with servers.master.client() as master:
        assert master.wait(1, 5000) == 1
    await asyncio.to_thread(servers.cut_replication)
    assert await threads.bind(first.hold, Thread("conv_1", 1), 0), "acknowledged, and lost"
    later = await entered(threads, "task-1")  # takes the hold over, which is lost as well

    await promote(servers, threads)

    assert not await threads.bind(later.hold, Thread("conv_2", 1), 0), "its token is of the lost second"
    assert (await entered(threads, "task-1")).thread is None
    threads_made = {"conv_1"}  # and conv_2, which its maker deletes when bind refuses it
    for task in ("task-1", "task-2", "task-3"):
        entry = await entered(threads, task)
        if entry.thread is None:
            threads_made.add(f"conv_of_{task}")
            assert await threads.bind(entry.hold, Thread(f"conv_of_{task}", 1), 0)
        await threads.leave(entry.hold, asked=False, trouble=False)

    assert threads_made == {"conv_1", "conv_of_task-1"}, "at most one extra"


async def test_an_answer_that_comes_after_the_promotion_is_kept_without_its_hold(
    servers: SentinelValkey, threads: RedisThreads
) -> None:
    await asyncio.to_thread(servers.cut_replication)
    asking = await entered(threads, "task-1")
    assert await threads.bind(asking.hold, Thread("conv_1", 1), 0)
    assert await threads.intend(asking.hold, 1, MINUTE)

    await promote(servers, threads)

    answer = Answer("the one that was paid", thread=Thread("conv_1", 1))
    assert await threads.keep_answer(asking.hold, 1, answer, published=True) == answer
    assert await threads.enter(KEY, "task-1") == Answered(answer, 1)


async def test_a_master_that_thaws_after_the_promotion_is_not_written_to(
    servers: SentinelValkey, threads: RedisThreads
) -> None:
    await entered(threads, "task-1")
    with servers.master.client() as master:
        assert master.wait(1, 5000) == 1
    await promote(servers, threads, by="freeze")
    servers.master.signal(signal.SIGCONT)

    for number in range(20):
        await entered(threads, "task", ThreadKey("default", f"late-{number}", "analyst"))

    with servers.replica.client() as promoted:
        assert len(promoted.keys("*late-*:hold")) == 20


async def test_many_commands_under_a_promotion_end_in_store_down_or_well(
    servers: SentinelValkey, threads: RedisThreads
) -> None:
    async def work(number: int) -> set[type[Exception]]:
        kinds: set[type[Exception]] = set()
        while not promoted.is_set():
            try:
                await threads.enter(ThreadKey("default", f"busy-{number}", "analyst"), "task")
            except Exception as exc:  # noqa: BLE001 - which ones there are is the question
                kinds.add(type(exc))
                await asyncio.sleep(0.01)  # a failure without a round trip must not starve the loop
        return kinds

    promoted = asyncio.Event()
    workers = [asyncio.create_task(work(number)) for number in range(30)]
    await promote(servers, threads)
    promoted.set()

    assert set().union(*await asyncio.gather(*workers)) <= {StoreDown}
