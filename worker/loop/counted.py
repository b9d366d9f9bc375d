"""How many tasks wait at the engine, counted while somebody reads the metrics, and in nobody's way."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Self

from worker.domain.tasks import Topic
from worker.errors import WorkerError
from worker.ports.engine import Backlog
from worker.runtime.clock import monotonic
from worker.telemetry import metrics

AGE_SECONDS = 10.0
"""How old the numbers may be; younger ones are told again."""
SHARE = 0.1
"""Of the time, at most, in which the engine counts for us: of many tasks on a slow database that takes a while."""
PATIENCE_SECONDS = 2.0
"""How long a scrape waits for the numbers, before it takes what is there."""


class Counted:
    """Has the engine count the tasks of these topics, one request after the other; what it does not tell is not shown.

    An engine that is not up is not asked: one that refuses our password would lock the account. Ends with its block.
    """

    def __init__(self, engine: Backlog, topics: Callable[[], Sequence[Topic]], is_up: Callable[[], bool]) -> None:
        self._engine = engine
        self._topics = topics
        self._is_up = is_up
        self._next_look = 0.0
        self._looking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin; nothing is asked yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Give up a look that goes on."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})

    async def look(self) -> None:
        """Have numbers that are not too old, if they are to be had soon. Never raises."""
        if self._looking is None or (self._looking.done() and monotonic() >= self._next_look):
            self._looking = asyncio.create_task(self._count(), name="count tasks")
        await asyncio.wait({self._looking}, timeout=PATIENCE_SECONDS)

    async def _count(self) -> None:
        started = monotonic()
        try:
            counts = {topic.name: await self._engine.waiting(topic) for topic in self._topics() if self._is_up()}
        except WorkerError:  # whose trouble that is, others find out
            counts = {}
        # Topics that are gone must not go on showing their last number.
        metrics.ENGINE_WAITING.clear()
        for topic, count in counts.items():
            metrics.ENGINE_WAITING.labels(topic).set(count)
        now = monotonic()
        self._next_look = started + max(AGE_SECONDS, (now - started) / SHARE)
