"""What is not read from Zep after it has refused our key."""

from typing import Final

import structlog

from worker.errors import MemoryRefused
from worker.runtime.clock import monotonic
from worker.telemetry.logs import Event

DENIED_SECONDS: Final = 300.0
"""So long nothing is recalled after Zep has refused our key."""

log = structlog.get_logger()


class KeyRefused(MemoryRefused):
    """Zep does not take our key, or it has no right to this."""


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
