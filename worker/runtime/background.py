"""Work beside a block of code, and work that comes again at its time: each owned by whoever begins it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Self, TypeVar

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


class Later:
    """Work that begins in so many seconds, unless it is cancelled before; over when its block ends.

    Until then it is a timer and no task, of which most turns would make two for nothing.
    """

    def __init__(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        self._work, self._name = work, name
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(seconds, self._begin)

    async def __aenter__(self) -> None:
        """Begin the block; the seconds count already."""

    async def __aexit__(self, *_: object) -> None:
        """Cancel it, and wait for its end."""
        self.cancel()
        if self._task is not None:
            await asyncio.wait({self._task})

    def cancel(self) -> None:
        """Begin it no more, or cancel it."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._work(), name=self._name)


def renewing(lease: timedelta, renew: Callable[[], Awaitable[bool]], name: str) -> Later:
    """Renew something at each third of its lease, until `renew` says that there is nothing to renew any more."""
    third = lease.total_seconds() / 3

    async def again() -> None:
        while True:
            if not await renew():
                return
            await asyncio.sleep(third)

    return Later(third, again, name)


class Crew:
    """Work that nobody waits for, some of it at once. What is not done when the block ends is given up.

    `failed` is told of errors, which end nothing but the work that met them.
    """

    def __init__(self, failed: Callable[[Exception], None], at_once: int = 4) -> None:
        self._failed = failed
        self._room = asyncio.Semaphore(at_once)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Begin."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Give up what is left."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Do this as soon as there is room."""
        task = asyncio.create_task(self._done(work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _done(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            async with self._room:
                await work
        except Exception as exc:  # noqa: BLE001 - see above
            self._failed(exc)
        finally:
            work.close()
