"""How long to wait before something is tried again, or for news."""

import asyncio
import random
from contextlib import suppress


def growing(first: float, tries: int, longest: float) -> float:
    """Return the seconds to wait after so many tries: doubled with each, and spread for several workers."""
    seconds: float = min(first * 2.0 ** min(tries, 10), longest)
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - guards nothing


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, and not longer than that; whether it was set."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
