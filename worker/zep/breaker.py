"""When Zep is not asked: after failures, because it asked us to wait, and what is read after it has refused our key."""

from collections import deque
from datetime import timedelta
from typing import Final

import structlog

from worker.errors import MemoryDown, MemoryRefused
from worker.runtime.clock import monotonic
from worker.telemetry.logs import Event

FAILURES: Final = 3
WITHIN_SECONDS: Final = 60.0
OPEN_SECONDS: Final = 30.0
"""So long nothing is asked after so many failures; then one request goes first."""
DENIED_SECONDS: Final = 300.0
"""So long nothing is recalled after Zep has refused our key."""

log = structlog.get_logger()


class KeyRefused(MemoryRefused):
    """Zep does not take our key, or it has no right to this."""


class Breaker:
    """One for all that one worker asks of Zep."""

    def __init__(self) -> None:
        self._failed: deque[float] = deque(maxlen=FAILURES)
        self._closed_until: float | None = None
        self._probing = False

    def enter(self) -> bool:
        """Return if a request may go now, which then tells how it went: whether it goes first. Raises MemoryDown."""
        if self._closed_until is None:
            return False
        left = self._closed_until - monotonic()
        if left > 0 or self._probing:
            wait = timedelta(seconds=max(left, 1))
            raise MemoryDown("Zep is not asked now, as it could not be reached", retry_after=wait)
        self._probing = True
        return True

    def answered(self) -> None:
        """Note that Zep said something, be it a no."""
        if self._closed_until is not None and not self._probing:
            return  # to somebody who had asked before
        self._failed.clear()
        self._closed_until, self._probing = None, False

    def failed(self, retry_after: timedelta | None = None) -> None:
        """Note that no answer came, or none that says anything; and how long Zep asked us to wait."""
        now = monotonic()
        while self._failed and now - self._failed[0] > WITHIN_SECONDS:
            self._failed.popleft()
        self._failed.append(now)
        if retry_after is not None:
            self._close(now + retry_after.total_seconds())
        elif self._probing or len(self._failed) == FAILURES:
            self._close(now + OPEN_SECONDS)

    def left(self, *, first: bool) -> None:
        """Note that nobody waited for the answer: if it went first, whoever comes next does so instead."""
        if first:
            self._probing = False

    def _close(self, until: float) -> None:
        self._closed_until, self._probing = max(until, self._closed_until or until), False


class Reading:
    """Whether anything is recalled: not for a while after Zep has refused our key, which is said once."""

    def __init__(self) -> None:
        self._off_until = 0.0
        self._said = False

    def again(self) -> None:
        """Ask, whatever was before."""
        self._off_until = 0.0

    def works(self) -> None:
        """Note that something was searched: the next refusal is another one, and said again."""
        self._said = False

    def __enter__(self) -> None:
        if monotonic() < self._off_until:
            raise MemoryRefused("nothing is recalled from Zep, as it does not take our key, or denies it a right")

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, KeyRefused):
            self._off_until = monotonic() + DENIED_SECONDS
            if not self._said:
                log.warning(Event.MEMORY_DENIED, memory="zep", reason=str(error))
            self._said = True
