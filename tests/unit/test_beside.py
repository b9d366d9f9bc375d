"""What may take long is done while the loop goes on."""

import asyncio
import time

from worker.runtime.beside import beside, beside_if

WORK_SECONDS = 0.3


async def ticks_during(work: asyncio.Future[object] | asyncio.Task[object]) -> int:
    """How often the loop came round while this was under way."""
    ticks = 0
    while not work.done():
        await asyncio.sleep(0.001)
        ticks += 1
    return ticks


async def test_the_loop_goes_on_while_something_slow_is_done() -> None:
    assert await ticks_during(asyncio.ensure_future(beside(time.sleep, WORK_SECONDS))) > 10
    assert await ticks_during(asyncio.ensure_future(beside_if(True, time.sleep, WORK_SECONDS))) > 10


async def test_small_work_is_done_at_once() -> None:
    assert await ticks_during(asyncio.ensure_future(beside_if(False, time.sleep, WORK_SECONDS))) <= 1
