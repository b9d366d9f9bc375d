"""Where tasks wait whose thread is held: outside of the slots, oldest first per thread."""

import asyncio
import heapq
import itertools
import random
from dataclasses import dataclass, field
from datetime import datetime

from worker.domain.tasks import Task
from worker.domain.threads import ThreadKey
from worker.errors import Stopping
from worker.telemetry import metrics

RETRY_SECONDS = 0.5
"""How often the first of a queue tries, give or take half: the thread may be held by another worker."""


@dataclass(order=True, slots=True)
class _Place:
    created_at: datetime
    order: int
    woken: bool = field(default=False, compare=False)
    changed: asyncio.Event = field(default_factory=asyncio.Event, compare=False)


class WaitingRoom:
    """Queues by thread, at most `places` tasks in all."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._queues: dict[ThreadKey, list[_Place]] = {}
        self._order = itertools.count()
        self._waiting = 0
        self._closed = False

    async def wait(self, key: ThreadKey, task: Task) -> bool:
        """Return True when the task is first and may try; False if there is no place. Raises Stopping once closed."""
        if self._waiting >= self._places:
            return False
        place = _Place(task.created_at, next(self._order))
        queue = self._queues.setdefault(key, [])
        heapq.heappush(queue, place)
        self._count(+1)
        try:
            await self._until_first(queue, place)
        finally:
            self._leave(key, place)
        return True

    def wake(self, key: ThreadKey) -> None:
        """Let the oldest task of this thread try now."""
        if queue := self._queues.get(key):
            queue[0].woken = True
            queue[0].changed.set()

    def close(self) -> None:
        """Send everybody away: nothing new is started."""
        self._closed = True
        for queue in self._queues.values():
            for place in queue:
                place.changed.set()

    async def _until_first(self, queue: list[_Place], place: _Place) -> None:
        """Wait to be first and woken; the first also tries by itself, as another worker wakes nobody here."""
        while not self._closed:
            is_first = queue[0] is place
            if place.woken and is_first:
                place.woken = False
                return
            if place.woken:  # an older task came in between
                place.woken, queue[0].woken = False, True
                queue[0].changed.set()
            place.changed.clear()
            pause = RETRY_SECONDS * random.uniform(0.5, 1.5)  # noqa: S311 - spreads repeats
            try:
                async with asyncio.timeout(pause if is_first else None):
                    await place.changed.wait()
            except TimeoutError:
                # An older task may have come in between, and tries by itself from now on.
                if queue[0] is place:
                    return
        raise Stopping("the worker is stopping")

    def _leave(self, key: ThreadKey, place: _Place) -> None:
        queue = self._queues[key]
        queue.remove(place)
        heapq.heapify(queue)
        if queue:
            queue[0].woken |= place.woken  # a wake that came too late for the one who leaves
            queue[0].changed.set()  # it is first now, and has to try by itself from time to time
        else:
            del self._queues[key]
        self._count(-1)

    def _count(self, change: int) -> None:
        self._waiting += change
        metrics.WAITING.set(self._waiting)
