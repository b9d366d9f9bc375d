"""An event loop whose time jumps to the next timer when there is nothing else to do: hours pass in no time.

Code under test takes its time from the running loop (`worker.runtime.clock`), its pauses from `asyncio.sleep` and its
limits from `asyncio.timeout`; so no pause has to be shortened, and the order of things is the same on a busy machine.
"""

import asyncio
import selectors
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

BEGINNING = 100_000.0
"""What the loop's clock shows first, in seconds: any number that is longer than every pause of ours."""
EPOCH = 1_800_000_000.0
"""What the wall clock shows at the loop's zero."""
STUCK_SECONDS = 5.0
"""How long, in real time, a loop without any timer waits for another thread before it is taken for stuck."""


class Stuck(RuntimeError):
    """Nothing will ever happen again in this loop."""


class _Jumping(selectors.DefaultSelector):
    """Never waits for a time to come: it is there at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = BEGINNING
        self.threads = 0

    def select(self, timeout: float | None = None) -> Any:
        if not self.threads and timeout is not None and timeout <= 0:
            return []  # nobody outside works for it; a tenth of the time went into asking
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self.threads or timeout is None:
            ready = super().select(STUCK_SECONDS)
            if not ready and not self.threads:
                raise Stuck("every task waits for another one")
            return ready
        self.now += timeout
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """The loop. While a thread works for it time stands still."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def jump(self, seconds: float) -> None:
        """Have so much time gone by, in which nothing happened: what was due meanwhile is due now, once."""
        self._jumping.now += seconds

    def run_in_executor(  # type: ignore[override]  # typed by a tuple of arguments there, handed on untouched here
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> Any:
        future = super().run_in_executor(executor, func, *args)
        self.waits_for(future)
        return future

    def waits_for(self, future: asyncio.Future[Any]) -> None:
        """Have time stand still until a thread has set this."""
        self._jumping.threads += 1
        future.add_done_callback(self._thread_is_done)

    def _thread_is_done(self, _: object) -> None:
        self._jumping.threads -= 1


def now() -> datetime:
    """Read the wall clock, which may be the loop's, for who takes a clock."""
    return datetime.fromtimestamp(time.time(), UTC)


def wall_clock_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the wall clock, which fakeredis goes by, move with the loop's."""
    real = time.time

    def seconds() -> float:
        try:
            return EPOCH + asyncio.get_running_loop().time()
        except RuntimeError:  # nothing runs
            return real()

    monkeypatch.setattr(time, "time", seconds)


class Clock:
    """Monotonic time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now
