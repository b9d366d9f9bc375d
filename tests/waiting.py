"""Waiting for a condition instead of for a time."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
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
    for; the predicate's last value stands beside it.
    """
    began = time.monotonic()
    while True:
        outcome = predicate()
        value = await outcome if inspect.isawaitable(outcome) else outcome
        if value:
            return value
        waited = time.monotonic() - began
        if waited > deadline_seconds:
            raise AssertionError(f"{what or predicate} did not come true within {deadline_seconds} s; last: {value!r}")
        await asyncio.sleep(min(max(FIRST_PAUSE_SECONDS, waited / 10), LONGEST_PAUSE_SECONDS))
