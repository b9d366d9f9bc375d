"""Waiting for a condition with a deadline."""

import asyncio
import inspect
from collections.abc import Callable
from time import monotonic
from typing import Any


async def wait_until(predicate: Callable[[], Any], deadline_seconds: float = 10, what: str = "") -> Any:
    """Return the predicate's first true value; it may be async. Fails the test when the deadline passes."""
    ends_at = monotonic() + deadline_seconds
    while monotonic() < ends_at:
        value = predicate()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        await asyncio.sleep(0.02)
    raise AssertionError(f"waited {deadline_seconds} s in vain for {what or predicate}")
