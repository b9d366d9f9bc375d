"""Which assistants other workers have: a task for one that this worker lacks may be theirs.

While a new version is rolled out, workers with and without it serve the same topics.
"""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import timedelta

from worker.errors import AssistantElsewhere, UnknownAssistant, WorkerError
from worker.ports.fleet import REMEMBERED, Presence
from worker.runtime.version import VERSION

SHOWN_EVERY = timedelta(seconds=10)


class Fleet:
    """This worker among the others. `has` says which assistants it has, name and version each."""

    def __init__(self, presence: Presence, has: Callable[[], Collection[tuple[str, str]]]) -> None:
        self._presence = presence
        self._has = has

    async def watch(self) -> None:
        """Show that we live, again and again; ends when it is cancelled. While Redis is away nobody is told."""
        while True:
            with suppress(WorkerError):  # that it is away is somebody else's to notice
                await self._presence.show(VERSION, self._has())
            await asyncio.sleep(SHOWN_EVERY.total_seconds())

    async def judge(self, missing: UnknownAssistant, name: str, version: str | None) -> UnknownAssistant:
        """Return if nobody will have what we lack. Raises AssistantElsewhere where it is to be waited for, StoreDown.

        A version may come with a worker that is being started. A name that nobody knows is a mistake in the model.
        """
        others = await self._presence.workers()
        if any(each.has(name, version) for each in others):
            raise AssistantElsewhere(f"{missing}; another worker has it, or had it within ten minutes") from missing
        known = any(each == name for each, _ in self._has()) or any(each.has(name, None) for each in others)
        if version is not None and known and await self._presence.wanted(name, version) < REMEMBERED:
            raise AssistantElsewhere(f"{missing}, nor has any other worker; one that does is waited for") from missing
        return missing
