"""Work beside a block of code, and work that comes again at its time: each owned by whoever begins it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar

T = TypeVar("T")


@asynccontextmanager
async def running(work: Coroutine[Any, Any, T], name: str) -> AsyncIterator[asyncio.Task[T]]:
    """Run this beside the body, and have it over when the body ends, by cancelling it if need be."""
    task = asyncio.create_task(work, name=name)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


async def renewing(lease: timedelta, renew: Callable[[], Awaitable[bool]]) -> None:
    """Renew something at a third of its lease, until `renew` says that there is nothing to renew any more."""
    while True:
        await asyncio.sleep(lease.total_seconds() / 3)
        if not await renew():
            return
