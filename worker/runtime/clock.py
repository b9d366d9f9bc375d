"""The one clock by which the worker measures durations, pauses and deadlines; and how far a server's is from ours."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

CLOCKS_APART: Final = timedelta(seconds=60)
"""What two machines' clocks may differ by before anybody makes something of it. An engine's shows whole seconds."""


def monotonic() -> float:
    """Return the running loop's time in seconds: monotonic, so that a stepped wall clock changes nothing.

    The same clock by which `asyncio.sleep` and `asyncio.timeout` go, so a loop with a clock of its own, as tests have,
    moves everything together.
    """
    return asyncio.get_running_loop().time()


def ahead(told: datetime, asked_at: datetime) -> timedelta:
    """Return how much a clock is ahead of ours that has just told this when it was asked then, by ours."""
    return told - (asked_at + (datetime.now(UTC) - asked_at) / 2)
