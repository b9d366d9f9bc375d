"""Watches that no newer worker has changed what all share, so that two versions can run side by side."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

from worker.errors import NewerFormat, WorkerError
from worker.ports.formats import Format

BETWEEN_LOOKS = timedelta(seconds=30)
"""So long an older worker may go on after a newer one has changed the format; its records are told apart one by one
meanwhile."""


class Formats:
    """All stores' formats. A store that cannot be asked says nothing: that it is away is somebody else's to notice."""

    def __init__(self, formats: Sequence[Format]) -> None:
        self._formats = formats

    async def check(self) -> None:
        """Return if this version may work. Raises NewerFormat."""
        for each in self._formats:
            try:
                await each.check()
            except NewerFormat:
                raise
            except WorkerError:
                continue

    async def watch(self, newer: Callable[[Exception], None]) -> None:
        """Tell of a newer format whenever one is seen; ends when it is cancelled."""
        while True:
            await asyncio.sleep(BETWEEN_LOOKS.total_seconds())
            try:
                await self.check()
            except NewerFormat as exc:
                newer(exc)
