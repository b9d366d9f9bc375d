"""A circuit breaker: who does not answer is left alone for a while, and then asked by one before all others."""

from collections import deque
from datetime import timedelta
from typing import Final

from worker.runtime.clock import monotonic

FAILURES: Final = 3
WITHIN_SECONDS: Final = 60.0
OPEN_SECONDS: Final = 30.0
"""So long nothing is asked after so many failures in so long; then one request goes first."""


class BreakerOpen(Exception):
    """Nobody is asked now. `wait` is how long that lasts at least."""

    def __init__(self, wait: timedelta) -> None:
        super().__init__(f"not asked for {wait.total_seconds():.0f} s")
        self.wait = wait


class Breaker:
    """One for all that one worker asks of one service.

    Whoever enters says how it went: `answered`, `failed` or `left`, with `first` as `enter` has returned it. What comes
    of the one who goes first decides, whatever those hear meanwhile who had asked before.
    """

    def __init__(self) -> None:
        self._failed: deque[float] = deque(maxlen=FAILURES)
        self._open_until: float | None = None
        self._probing = False
        self._held = False

    @property
    def is_open(self) -> bool:
        """Whether it was found not to answer, and has not answered since."""
        return self._open_until is not None

    @property
    def wait_seconds(self) -> float:
        """How long nobody asks by what was found here; 0 where somebody may go first."""
        return 0.0 if self._open_until is None else max(self._open_until - monotonic(), 0.0)

    def hold(self) -> None:
        """Let nobody ask, whatever is found here: somebody else goes first."""
        self._held = True

    def half_open(self) -> None:
        """Let one go first again, as soon as it may by what was found here."""
        self._held = False
        if self._open_until is None:
            self._open_until = monotonic()

    def free(self) -> None:
        """Let all ask: somebody was answered."""
        self._held = self._probing = False
        self._failed.clear()
        self._open_until = None

    def enter(self) -> bool:
        """Return if a request may go now: whether it goes first. Raises BreakerOpen."""
        if self._held:
            raise BreakerOpen(timedelta(seconds=max(self.wait_seconds, 1)))
        if self._open_until is None:
            return False
        left = self._open_until - monotonic()
        if left > 0 or self._probing:
            raise BreakerOpen(timedelta(seconds=max(left, 1)))
        self._probing = True
        return True

    def answered(self, *, first: bool) -> bool:
        """Note that it said something, be it a no. Returns whether it is asked again only from now on."""
        was_open = self._open_until is not None
        if was_open and not first:
            return False  # to somebody who had asked before
        self._failed.clear()
        self._open_until, self._probing = None, False
        return was_open

    def failed(self, pause: timedelta | None = None, *, first: bool) -> bool:
        """Note that no answer came, or none that says anything, and how long it is to be left alone if that is known.

        Returns whether it is asked no more from now on.
        """
        now, was_open = monotonic(), self._open_until is not None
        while self._failed and now - self._failed[0] > WITHIN_SECONDS:
            self._failed.popleft()
        self._failed.append(now)
        self.left(first=first)
        if pause is not None:
            self._open(now + pause.total_seconds())
        elif first or (not self._probing and len(self._failed) == FAILURES):
            self._open(now + OPEN_SECONDS)
        return self._open_until is not None and not was_open

    def left(self, *, first: bool) -> None:
        """Note that nobody waited for the answer: if it went first, whoever comes next does so instead."""
        if first:
            self._probing = False

    def _open(self, until: float) -> None:
        self._open_until = max(until, self._open_until or until)
