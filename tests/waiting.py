"""Waiting for a condition instead of for a time."""

import asyncio
import inspect
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar, overload

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.3


@overload
async def wait_until(
    predicate: Callable[[], Awaitable[T | None]], deadline_seconds: float = ..., what: str = ...
) -> T: ...
@overload
async def wait_until(predicate: Callable[[], T | None], deadline_seconds: float = ..., what: str = ...) -> T: ...
async def wait_until(predicate: Callable[[], Any], deadline_seconds: float = 30, what: str = "") -> Any:
    """The first truthy value of the predicate, which may be async; AssertionError when the deadline passes before.

    What takes long is looked at less often, a tenth of its time later: several tests at once that look at an engine
    fifty times a second would take the processor from what they wait for. A deadline costs time only where a test
    fails: it leaves room for a disk or a processor that others use as well. `what` says in the error what was waited
    for; the predicate's last value stands beside it, and what everything else was doing in the captured output.
    """
    began = time.monotonic()
    while True:
        outcome = predicate()
        value = await outcome if inspect.isawaitable(outcome) else outcome
        if value:
            return value
        waited = time.monotonic() - began
        if waited > deadline_seconds:
            sys.stderr.write("\n".join(what_goes_on()) + "\n")
            raise AssertionError(f"{what or predicate} did not come true within {deadline_seconds} s; last: {value!r}")
        await asyncio.sleep(min(max(FIRST_PAUSE_SECONDS, waited / 10), LONGEST_PAUSE_SECONDS))


def what_goes_on() -> Iterator[str]:
    """Where every task of this loop waits, down to what it awaits last, and where every thread is."""
    for task in sorted(asyncio.all_tasks(), key=asyncio.Task.get_name):
        yield f"--- task {task.get_name()}"
        awaited: Any = task.get_coro()
        while awaited is not None:
            frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "ag_frame", None)
            place = (
                f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_qualname}" if frame else repr(awaited)
            )
            yield f"    {place}"
            awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "ag_await", None)
    for identity, frame in sys._current_frames().items():
        yield f"--- thread {identity}"
        yield from traceback.format_stack(frame)[-6:]
