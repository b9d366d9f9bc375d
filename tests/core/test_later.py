"""What comes again at its time is a timer until then, and a task from then on."""

import asyncio
from datetime import timedelta

from worker.runtime import background


async def test_before_its_time_a_renewal_is_no_task_and_ends_with_its_block() -> None:
    renewals: list[float] = []

    async def renew() -> bool:
        renewals.append(asyncio.get_running_loop().time())
        return True

    async with background.renewing(timedelta(seconds=30), renew, "lease"):
        await asyncio.sleep(9)
        assert [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "lease"] == []
    await asyncio.sleep(60)

    assert renewals == []


async def test_a_renewal_comes_with_each_third_until_nothing_is_left_to_renew() -> None:
    began, renewals = asyncio.get_running_loop().time(), list[float]()

    async def renew() -> bool:
        renewals.append(asyncio.get_running_loop().time() - began)
        return len(renewals) < 3

    async with background.renewing(timedelta(seconds=30), renew, "lease"):
        await asyncio.sleep(60)

    assert [round(each) for each in renewals] == [10, 20, 30]


async def test_a_block_is_over_when_the_renewal_under_way_is() -> None:
    ended = asyncio.Event()

    async def renew() -> bool:
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(1)
            ended.set()
        return True

    async with background.renewing(timedelta(seconds=30), renew, "lease"):
        await asyncio.sleep(11)

    assert ended.is_set()
