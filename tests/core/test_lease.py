"""Locks are renewed while a task is in hand; the work of a task that is lost is cancelled, unless it is paid for."""

import asyncio
from datetime import timedelta

import pytest

from tests.core.rig import Core
from tests.fakes.engine import LOCK, FakeEngine
from worker.domain.tasks import Task, Topic
from worker.errors import EngineDown, Refused, TaskLost, TaskSuspended
from worker.loop.lease import Lease, Leases
from worker.turn.facts import TurnFacts


class Held:
    """One task under a lease; `told` are the engine's troubles that the lease told of."""

    def __init__(self, core: Core) -> None:
        self.engine = FakeEngine(core.world)
        self.job = core.world.start()
        self.told: list[Exception] = []
        self.leases = Leases(self.engine, LOCK, self.told.append)
        self.facts = TurnFacts("frame")

    async def task(self) -> Task:
        [task] = await self.engine.fetch([Topic("topic")], 1)
        return task


@pytest.fixture
def held(core: Core) -> Held:
    return Held(core)


async def test_a_lock_is_renewed_when_two_thirds_of_it_are_over(held: Held) -> None:
    async with held.leases.keep(await held.task(), held.facts) as lease:
        await asyncio.sleep(5 * LOCK.total_seconds())
        assert lease.is_live()

    assert len(held.engine.script.named("extend")) == 7
    await asyncio.sleep(LOCK.total_seconds())
    assert len(held.engine.script.named("extend")) == 7


async def test_the_work_of_a_lost_task_is_cancelled_within_two_thirds_of_the_lock(held: Held) -> None:
    task = await held.task()
    began = held.job.task.fetched_at
    held.job.gone = True

    with pytest.raises(TaskLost):
        async with held.leases.keep(task, held.facts):
            await asyncio.sleep(1000)

    assert asyncio.get_running_loop().time() - began <= 2 * LOCK.total_seconds() / 3 + 0.1


async def test_the_work_of_a_task_that_another_worker_has_is_cancelled_unless_it_is_paid_for(held: Held) -> None:
    task = await held.task()
    held.job.worker = "worker-2"
    with pytest.raises(TaskLost):
        async with held.leases.keep(task, held.facts):
            await asyncio.sleep(1000)
    assert not held.facts.is_taken

    held.facts.is_asking = True
    async with held.leases.keep(task, held.facts) as lease:
        await asyncio.sleep(1000)
        assert held.facts.is_taken
        assert not lease.is_live()


@pytest.mark.parametrize("ends", ["gone", "asked"])
async def test_what_is_paid_for_goes_on_until_it_is_kept_or_its_task_gone(held: Held, ends: str) -> None:
    task, held.facts.is_asking = await held.task(), True

    def end() -> None:
        held.job.gone = held.facts.is_asking = ends == "gone"

    held.job.worker = "worker-2"
    asyncio.get_running_loop().call_later(100, end)
    with pytest.raises(TaskLost):
        async with held.leases.keep(task, held.facts):
            await asyncio.sleep(100 + LOCK.total_seconds() / 9)


async def test_a_task_that_another_worker_gave_back_is_ours_again(held: Held) -> None:
    held.facts.is_asking = True
    async with held.leases.keep(await held.task(), held.facts) as lease:
        held.job.worker = "worker-2"
        await asyncio.sleep(100)
        held.job.worker = held.engine.worker_id  # as by `lock`, once theirs has run out
        await asyncio.sleep(LOCK.total_seconds() / 9)
        assert (held.facts.is_taken, lease.is_live()) == (False, True)


async def test_a_renewal_that_failed_once_or_twice_is_in_time_all_the_same(held: Held) -> None:
    held.engine.script.next("extend", EngineDown("away"), EngineDown("away"))
    async with held.leases.keep(await held.task(), held.facts) as lease:
        for _ in range(int(2 * LOCK.total_seconds())):
            await asyncio.sleep(1)
            assert lease.is_live()


async def test_a_lost_task_whose_verdict_is_on_its_way_is_left_to_the_engines_answer(held: Held) -> None:
    async with held.leases.keep(await held.task(), held.facts) as lease:
        lease.telling = True
        held.job.gone = True
        await asyncio.sleep(100)

    assert not lease.lost


async def test_a_stop_is_no_loss(held: Held) -> None:
    async def work() -> None:
        async with held.leases.keep(await held.task(), held.facts):
            await asyncio.sleep(1000)

    working = asyncio.create_task(work())
    await asyncio.sleep(1)
    working.cancel()

    with pytest.raises(asyncio.CancelledError):
        await working


@pytest.mark.parametrize("trouble", [EngineDown("away"), TaskSuspended("suspended"), Refused("no")])
async def test_a_renewal_that_fails_is_tried_sooner_and_cancels_nothing(held: Held, trouble: Exception) -> None:
    held.engine.script.next("extend", *[trouble] * 6)

    async with held.leases.keep(await held.task(), held.facts) as lease:
        await asyncio.sleep(2 * LOCK.total_seconds())
        assert not lease.lost
        assert lease.is_live(), "taken back as soon as the engine let us"

    assert held.told == [trouble] * (6 if isinstance(trouble, EngineDown) else 0)


async def test_a_lease_that_has_ended_is_not_renewed_any_more(held: Held) -> None:
    async with held.leases.keep(await held.task(), held.facts) as lease:
        await lease.end()
        await asyncio.sleep(100)

    assert held.engine.script.named("extend") == []


async def test_the_end_of_a_lease_waits_for_a_renewal_under_way() -> None:
    lease = Lease(LOCK, 0.0)
    done: list[str] = []

    async def extend() -> None:
        await asyncio.sleep(3)
        done.append("extended")

    renewing = asyncio.create_task(lease.renew(extend))
    await asyncio.sleep(1)
    await lease.end()

    assert done == ["extended"]
    assert await renewing
    assert not await lease.renew(extend), "after an unlock it would take the lock back"


async def test_a_lock_is_live_for_its_length_only(held: Held) -> None:
    lease = Lease.of(await held.task(), timedelta(seconds=10))
    assert lease.is_live()
    await asyncio.sleep(11)
    assert not lease.is_live()
