"""Commands of the Redis driver, bounded."""

import asyncio

import pytest

from worker.redis.runner import Runner


async def test_a_cancellation_that_the_driver_swallows_ends_the_caller_all_the_same() -> None:
    begun = asyncio.Event()

    async def swallowing() -> str:
        try:
            begun.set()
            await asyncio.Event().wait()  # no reply comes
        except asyncio.CancelledError:
            return "a reply that came at the same time"
        return ""

    waiting = asyncio.create_task(Runner(None).in_time(swallowing()))  # type: ignore[arg-type] # no server is needed
    await begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_reply_in_time_is_returned() -> None:
    async def reply() -> str:
        return "yes"

    assert await Runner(None).in_time(reply()) == "yes"  # type: ignore[arg-type] # as above
