"""The one clock by which the worker measures durations, pauses and deadlines."""

import asyncio


def monotonic() -> float:
    """Return the running loop's time in seconds: monotonic, so that a stepped wall clock changes nothing.

    The same clock by which `asyncio.sleep` and `asyncio.timeout` go, so a loop with a clock of its own, as tests have,
    moves everything together.
    """
    return asyncio.get_running_loop().time()
