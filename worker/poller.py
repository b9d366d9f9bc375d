"""Fetches as many tasks as slots are free, by one long poll for all topics, until told to stop; then drains."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from time import monotonic, time
from typing import Any

import structlog

from worker import metrics
from worker.dependencies import Dependencies
from worker.domain import Task, Topic
from worker.errors import TaskLost, WorkerError
from worker.handler import TaskHandler
from worker.logs import Event
from worker.ports import Engine, Topics
from worker.slots import Slots

SHORTEST_POLL_SECONDS = 0.2
"""At most five polls a second bring nothing: an engine that never parks a poll must not be hammered."""
BATCH_SECONDS = 0.02
"""In a backlog, how long to let more slots become free, so that one request fetches several tasks."""
NO_TOPICS_PAUSE_SECONDS = 2.0
GHOST_WATCH_SECONDS = 40.0
"""How long after a failed poll to look for tasks it locked: it may still be parked at the engine, for 20 s at most."""
GHOST_SECONDS_AT_STOP = 2.0

log = structlog.get_logger()


class Poller:
    """The worker's main loop. `grace_seconds` is what running turns get to finish after `stopping` is set."""

    def __init__(
        self,
        engine: Engine,
        topics: Topics,
        slots: Slots,
        handler: TaskHandler,
        dependencies: Dependencies,
        stopping: asyncio.Event,
        grace_seconds: float,
    ) -> None:
        self._engine = engine
        self._topics = topics
        self._slots = slots
        self._handler = handler
        self._dependencies = dependencies
        self._stopping = stopping
        self._grace_seconds = grace_seconds
        self._in_hand: dict[str, asyncio.Task[None]] = {}
        self._backlog = False
        self._ghosts_until = 0.0

    async def run(self, hurry: asyncio.Event) -> None:
        """Poll until `stopping`, then see to it that nothing of ours stays locked. `hurry` ends the grace at once."""
        async with asyncio.TaskGroup() as self._group:
            polling = self._group.create_task(self._poll(), name="poll")
            await self._stopping.wait()
            self._handler.close()
            ends_at = monotonic() + self._grace_seconds
            hurrying = self._group.create_task(hurry.wait(), name="hurry")
            await asyncio.wait({polling, hurrying}, return_when=asyncio.FIRST_COMPLETED)
            while self._in_hand and not hurry.is_set() and monotonic() < ends_at:
                rest = max(0.0, ends_at - monotonic())
                await asyncio.wait(
                    {hurrying, *self._in_hand.values()}, timeout=rest, return_when=asyncio.FIRST_COMPLETED
                )
            hurrying.cancel()
            polling.cancel()
            if monotonic() < self._ghosts_until:
                with suppress(TimeoutError):
                    async with asyncio.timeout(GHOST_SECONDS_AT_STOP):
                        await self._unlock_ghosts()
            for handling in self._in_hand.values():
                handling.cancel()

    async def _poll(self) -> None:
        while not self._stopping.is_set():
            await self._unless_stopping(self._dependencies.all_up())
            await self._unless_stopping(self._slots.some_free())
            if self._backlog and self._slots.free < self._slots.size / 4:
                await asyncio.sleep(BATCH_SECONDS)
            if monotonic() < self._ghosts_until:
                await self._unlock_ghosts()
            topics = await self._topics.current()
            if self._stopping.is_set():
                return
            if not self._slots.free:
                continue
            if not topics:
                await self._unless_stopping(asyncio.sleep(NO_TOPICS_PAUSE_SECONDS))
                continue
            await self._poll_once(topics, self._slots.free)

    async def _poll_once(self, topics: tuple[Topic, ...], wanted: int) -> None:
        started = monotonic()
        try:
            tasks = await self._engine.fetch(topics, wanted)
        except WorkerError as exc:
            metrics.POLLS.labels("failed").inc()
            self._ghosts_until = monotonic() + GHOST_WATCH_SECONDS
            self._dependencies.down("engine", str(exc))
            return
        metrics.POLLS.labels("tasks" if tasks else "empty").inc()
        metrics.LAST_POLL.set(time())
        metrics.TASKS_FETCHED.inc(len(tasks))
        self._backlog = len(tasks) == wanted
        served = [self._topics.serves(task) for task in tasks]
        for task, ours in zip(tasks, served, strict=True):
            self._take(task, ours=ours)
        if not any(served):
            pause = SHORTEST_POLL_SECONDS - (monotonic() - started)
            await self._unless_stopping(asyncio.sleep(max(0.0, pause)))

    async def _unlock_ghosts(self) -> None:
        """Give back what a poll locked whose reply never came: the engine answers a poll even if its client is gone."""
        try:
            for task_id in await self._engine.locked():
                if task_id not in self._in_hand:
                    await self._engine.unlock(task_id)
                    log.warning(Event.GHOST_UNLOCKED, task_id=task_id)
        except TaskLost:
            pass  # gone meanwhile; the next look has the others
        except WorkerError as exc:
            self._dependencies.down("engine", str(exc))

    def _take(self, task: Task, *, ours: bool) -> None:
        if task.id in self._in_hand:
            return  # its lock ran out while the engine was away, and is renewed by this very fetch
        if not ours:
            log.warning(Event.TASK_NOT_OURS, task_id=task.id, topic=task.topic, definition=task.process_definition_id)
            self._topics.suspect()
            work = self._handler.give_back(task, "not ours")
        elif self._stopping.is_set():
            work = self._handler.give_back(task, "stopping")
        else:
            work = self._handler(task)
        self._in_hand[task.id] = handling = self._group.create_task(work, name=f"task {task.id}")
        handling.add_done_callback(lambda _: self._in_hand.pop(task.id))

    async def _unless_stopping(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait for this or for the stop, whichever comes first."""
        waiting = [
            asyncio.create_task(work, name="wait for work"),
            asyncio.create_task(self._stopping.wait(), name="wait for stop"),
        ]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
