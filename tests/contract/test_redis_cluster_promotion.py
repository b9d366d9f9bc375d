"""A primary of a real cluster dies and the cluster promotes its replica: what that costs, and what it must not cost."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import count

import pytest

from tests.faults.cluster import ReplicatedCluster
from tests.waiting import wait_until
from worker.domain.threads import Answer, Answered, Busy, Entered, Thread, ThreadKey
from worker.errors import StoreDown
from worker.redis import RedisThreads, open_redis
from worker.redis.keys import Keys

MINUTE = timedelta(minutes=1)
numbers = count()


@dataclass(frozen=True, slots=True)
class Part:
    """A primary that no other test has killed, and one client that outlives it."""

    cluster: ReplicatedCluster
    number: int
    threads: RedisThreads

    def key(self) -> ThreadKey:
        """Name a thread that is kept there."""
        while True:
            key = ThreadKey("default", f"instance-{next(numbers)}", "analyst")
            try:
                if self.cluster.keeper(Keys.of("test", key).hold) == self.number:
                    return key
            except StopIteration:  # it belongs to a primary that another test has killed
                continue

    async def entered(self, key: ThreadKey, task_id: str) -> Entered:
        """Take the hold of a thread."""
        entry = await self.threads.enter(key, task_id)
        assert isinstance(entry, Entered)
        return entry

    async def promote(self) -> None:
        """Kill the primary, and return when the same client works with its replica."""
        key = self.key()
        self.cluster.nodes[self.number].kill()
        await asyncio.to_thread(self.cluster.await_promotion, self.number)

        async def answers() -> bool:
            try:
                await self.threads.enter(key, "task")
            except StoreDown:
                return False
            return True

        await wait_until(answers, 20, "the client to find the new primary")


@pytest.fixture(scope="module")
def cluster() -> Iterator[ReplicatedCluster]:
    """One for all tests here, each of which kills another primary of the three."""
    with ReplicatedCluster() as cluster:
        yield cluster


@pytest.fixture
async def part(cluster: ReplicatedCluster) -> AsyncIterator[Part]:
    number = next(number for number, node in enumerate(cluster.nodes) if node.running)
    async with open_redis(cluster.url(), connections=20) as client:
        threads = RedisThreads(client, prefix="test", lease=MINUTE, keep=timedelta(days=1))
        await threads.ping()
        yield Part(cluster, number, threads)


async def test_what_was_replicated_is_all_there_after_a_primary_of_the_cluster_has_died(part: Part) -> None:
    key = part.key()
    entry = await part.entered(key, "task-1")
    assert await part.threads.bind(entry.hold, Thread("conv_1", 1), 0)
    assert await part.threads.intend(entry.hold, 1, MINUTE)
    await asyncio.to_thread(part.cluster.catch_up, part.number)

    await part.promote()

    assert await part.threads.enter(key, "task-2") == Busy()
    assert await part.threads.enter(key, "task-1") == Busy(), "its worker may live, and a call of it run"
    await part.threads.leave(entry.hold, asked=True, trouble=False)
    again = await part.entered(key, "task-1")
    assert again.thread == Thread("conv_1", 1)
    assert again.asked


async def test_a_hold_that_the_cluster_lost_binds_nothing_and_its_answer_is_kept(part: Part) -> None:
    key = part.key()
    await asyncio.to_thread(part.cluster.cut_replication, part.number)
    stale = await part.entered(key, "task-1")
    assert await part.threads.intend(stale.hold, 1, MINUTE)

    await part.promote()

    holder = await part.entered(key, "task-2")
    assert not await part.threads.bind(stale.hold, Thread("conv_1", 1), 0), "nothing but its token speaks against it"
    assert await part.threads.bind(holder.hold, Thread("conv_2", 1), 0)
    assert not await part.threads.renew(stale.hold)
    answer = Answer("the one that was paid", thread=Thread("conv_1", 1))
    assert await part.threads.keep_answer(stale.hold, 1, answer, published=False) == answer
    assert await part.threads.enter(key, "task-1") == Answered(answer, 1)
    assert await part.threads.renew(holder.hold), "the stale one has taken nothing away"


async def test_commands_while_the_cluster_promotes_a_replica_end_in_store_down_or_well(part: Part) -> None:
    kinds: set[type[Exception]] = set()
    promoted = asyncio.Event()

    async def work(key: ThreadKey) -> None:
        while not promoted.is_set():
            try:
                await part.threads.enter(key, "task")
            except Exception as exc:  # noqa: BLE001 - which ones there are is the question
                kinds.add(type(exc))
                await asyncio.sleep(0.01)  # a failure without a round trip must not starve the loop

    keys = [part.key() for _ in range(15)] + [ThreadKey("default", f"any-{number}", "analyst") for number in range(15)]
    workers = [asyncio.create_task(work(key)) for key in keys]
    await part.promote()
    promoted.set()
    await asyncio.gather(*workers)

    assert kinds == {StoreDown}
