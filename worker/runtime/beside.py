"""Work of more than a few milliseconds, done beside the loop, which goes on meanwhile."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_THREADS = ThreadPoolExecutor(max_workers=4, thread_name_prefix="beside")
"""Threads of their own: names of hosts are looked up in the loop's, and what is slow here must not hold that up."""
_FOR_READERS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="reading")
"""For people who look at what was said: however many do, turns have theirs."""


async def beside(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what the work returns, or raise what it raises.

    A thread cannot be ended: whoever is cancelled waits no longer, but the work goes on. So it has to have bounds of
    its own, and to change nothing.
    """
    return await asyncio.get_running_loop().run_in_executor(_THREADS, partial(work, *args, **kwargs))


async def for_reader(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The same for somebody who reads, which no turn waits for."""
    return await asyncio.get_running_loop().run_in_executor(_FOR_READERS, partial(work, *args, **kwargs))


async def beside_if(large: bool, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The same for what is only slow where it is large: to go to a thread and back costs more than small work."""
    return await beside(work, *args, **kwargs) if large else work(*args, **kwargs)
