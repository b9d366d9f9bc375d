"""Fetches as many tasks as slots are free, by one long poll for all topics, until told to stop; then drains.

In a backlog it fetches a few more, which wait for a slot. After an outage it fetches a single task first, and as many
as it likes once that one has brought nothing down again. While no provider can be asked it fetches what asks none.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from time import time
from typing import Any

import structlog

from worker.domain.tasks import Task, Topic
from worker.errors import TooMuch, WorkerError
from worker.loop.dependencies import Dependencies
from worker.loop.handler import TaskHandler
from worker.loop.sieve import Sieve
from worker.loop.slots import Slots
from worker.ports.engine import Engine
from worker.runtime.clock import monotonic
from worker.runtime.portions import portions
from worker.telemetry import metrics
from worker.telemetry.logs import Event
from worker.turn.stops import Stopped
from worker.turn.verdict import Abandon, Fail, Park, Verdict

SHORTEST_POLL_SECONDS = 0.2
"""At most five polls a second bring nothing: an engine that never parks a poll must not be hammered."""
MOST_FETCHED = 100
"""By one poll: engines lock them one by one, with all variables, and of 1000 on a cold one no poll got its reply."""
BATCH_SECONDS = 0.02
"""In a backlog, how long to let more slots become free, so that one request fetches several tasks."""
NO_TOPICS_PAUSE_SECONDS = 2.0
WITHOUT_MODELS_SECONDS = 2.0
"""Between two polls for tasks that ask no model, while no provider can be asked: none is parked, so that all others are
fetched as soon as one can."""
TRIAL_SECONDS = 10.0
"""How long the one task after an outage keeps the others waiting: who refuses a call does so at once, and an answer may
take many minutes."""
KNOWN = 1000
"""From so many waiting tasks on, those whose time is over are forgotten with each new one."""
GHOST_WATCH_SECONDS = 40.0
"""How long after a failed poll to look for tasks it locked: it may still be parked at the engine, for 20 s at most."""
LAST_POLL_SECONDS = 1.5
"""What a poll that is parked when a second signal comes gets to return by itself."""
UNLOCKED_AT_ONCE = 8
LAST_LOOK_SECONDS = 3.0
"""What the end of a stop may take to unlock what is left, such as parked tasks."""

log = structlog.get_logger()


class Until:
    """Tasks that the engine lists as ours although they only wait: parked, or for their next try after a failure."""

    def __init__(self) -> None:
        self._ends: dict[str, float] = {}

    def note(self, task_id: str, duration: timedelta) -> None:
        """Remember one for so long."""
        self._ends[task_id] = monotonic() + duration.total_seconds()
        if len(self._ends) > KNOWN:
            self.now()

    def next(self) -> timedelta:
        """Say in how long the first of them is over; `timedelta.max` without any."""
        now = monotonic()
        first = min((ends_at for ends_at in self._ends.values() if ends_at > now), default=None)
        return timedelta.max if first is None else timedelta(seconds=first - now)

    def now(self) -> set[str]:
        """Name those whose time is not over, and forget the others."""
        now = monotonic()
        self._ends = {task_id: ends_at for task_id, ends_at in self._ends.items() if ends_at > now}
        return set(self._ends)


class Poller:
    """The worker's main loop. One that asks no models is on no trial, which shows whether those can be asked."""

    def __init__(
        self,
        engine: Engine,
        topics: Sieve,
        slots: Slots,
        handler: TaskHandler,
        dependencies: Dependencies,
        stopped: Stopped,
        stopping: asyncio.Event,
        *,
        asks_models: bool = True,
        shown: metrics.Polling = metrics.TURN_POLLING,
    ) -> None:
        self._asks_models = asks_models
        self._shown = shown
        self._engine = engine
        self._topics = topics
        self._slots = slots
        self._handler = handler
        self._dependencies = dependencies
        self._stopped = stopped
        self._stopping = stopping
        self._in_hand: dict[asyncio.Task[Verdict], str] = {}
        self._parked = Until()
        self._backing_off = Until()
        self._backlog = False
        self._most = MOST_FETCHED
        self._ghosts_until = 0.0

    async def run(self, grace_seconds: float, hurry: asyncio.Event) -> None:
        """Poll until `stopping`, then see to it that nothing of ours stays locked.

        Running turns get `grace_seconds` from then on to finish; `hurry` ends that at once.
        """
        async with asyncio.TaskGroup() as self._group:
            polling = self._group.create_task(self._poll(), name="poll")
            await self._stopping.wait()
            self._handler.close()
            ends_at = monotonic() + grace_seconds
            hurrying = self._group.create_task(hurry.wait(), name="hurry")
            # A parked poll is let return: the engine answers it even without us, and would lock a task for nobody.
            await asyncio.wait({polling, hurrying}, return_when=asyncio.FIRST_COMPLETED)
            while self._in_hand and not hurry.is_set() and monotonic() < ends_at:
                rest = max(0.0, ends_at - monotonic())
                await asyncio.wait({hurrying, *self._in_hand}, timeout=rest, return_when=asyncio.FIRST_COMPLETED)
            hurrying.cancel()
            for handling in self._in_hand:
                handling.cancel()
            # An unlock wakes the parked poll, even one whose client is gone: let it bring the task, and give that back.
            await asyncio.wait({polling, *self._in_hand}, timeout=LAST_POLL_SECONDS)
            polling.cancel()
        # After a second signal nobody waits for the engine once more: locks run out by themselves.
        if not hurry.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_LOOK_SECONDS):
                    # Not what waits for its next try after a failure: an unlock would take that pause from it.
                    backing_off = self._backing_off.now()
                    await self._unlock([each for each in await self._locked() if each not in backing_off])

    async def _poll(self) -> None:
        while not self._stopping.is_set():
            await self._unless_stopping(self._dependencies.up_but_models())
            await self._unless_stopping(self._stopped.until_open())
            await self._unless_stopping(self._slots.some_welcome(backlog=self._backlog))
            if self._backlog and self._welcome() < self._slots.size / 4:
                await asyncio.sleep(BATCH_SECONDS)
            if monotonic() < self._ghosts_until:
                await self._unlock_ghosts()
            without_models = self._dependencies.only_models_away
            topics = await self._topics.current(without_models=without_models)
            # To find the topics may have taken a while: nothing is fetched that would only be given back.
            if self._stopping.is_set():
                return
            # The slot may be free because of the trouble.
            if not self._welcome() or (self._why_not() and not (without_models and self._only_models_away())):
                continue
            if topics:
                await self._poll_once(topics, parked=not without_models)
            if without_models and not (topics and self._backlog):
                await self._unless_stopping(_at_most(self._dependencies.all_up(), WITHOUT_MODELS_SECONDS))
            elif not topics:
                await self._unless_stopping(asyncio.sleep(NO_TOPICS_PAUSE_SECONDS))

    def _welcome(self) -> int:
        return self._slots.welcome(backlog=self._backlog)

    def _why_not(self) -> list[str]:
        return self._dependencies.reasons() + self._stopped.reasons()

    def _only_models_away(self) -> bool:
        return self._dependencies.only_models_away and not self._stopped.reasons()

    async def _poll_once(self, topics: tuple[Topic, ...], *, parked: bool) -> None:
        on_trial = self._asks_models and self._dependencies.on_trial
        wanted = 1 if on_trial else min(self._welcome(), self._most)
        started = monotonic()
        try:
            # A lock that runs out wakes no parked poll. One that asks for more than slots must not be parked: it would
            # bring what another worker has a slot for.
            ahead = wanted > self._slots.free
            wait = timedelta(0) if ahead or not parked else min(self._topics.next_look(), self._parked.next())
            tasks = await self._fetch(topics, wanted, wait)
        except WorkerError as exc:
            metrics.POLLS.labels("failed").inc()
            self._ghosts_until = monotonic() + GHOST_WATCH_SECONDS
            if isinstance(exc, TooMuch) and wanted > 1:
                self._most = wanted // 2
                log.warning(Event.POLL_FAILED, reason=f"{exc}: {self._most} tasks at most are fetched next")
                return
            # One task that the engine cannot hand over makes every poll fail, and is no outage.
            outage = await self._topics.judge(exc)
            if outage is not None:
                self._dependencies.down("engine", outage)
            return
        self._topics.passed(tasks)
        self._most = min(self._most + 1, MOST_FETCHED)
        metrics.POLLS.labels("tasks" if tasks else "empty").inc()
        self._shown.last.set(time())
        metrics.TASKS_FETCHED.inc(len(tasks))
        # Nobody counts what waits for this: on some databases that takes the longer, the more there is.
        self._backlog = len(tasks) == wanted
        served = [self._topics.serves(task) for task in tasks]
        taken = [self._take(task, ours=ours) for task, ours in zip(tasks, served, strict=True)]
        if on_trial and any(served) and not await self._ask_no_model(tasks):
            await self._unless_stopping(self._try(taken, started))
        if not any(served):
            # Nothing came, or what is not ours: that is unlocked, and the engine would hand it out again at once.
            pause = SHORTEST_POLL_SECONDS - (monotonic() - started)
            await self._unless_stopping(asyncio.sleep(max(0.0, pause)))

    async def _fetch(self, topics: tuple[Topic, ...], wanted: int, wait: timedelta) -> list[Task]:
        """Fetch; a single task that is too large for a reply comes without its variables, as far as it can be found."""
        try:
            return await self._engine.fetch(topics, wanted, wait)
        except TooMuch:
            if wanted == 1:
                known = self._known()
                found = [each for each in await self._locked() if each not in known]
                # With several nobody knows which: they are given back, and it is among the first of the next poll.
                if len(found) == 1:
                    with suppress(WorkerError):
                        return [await self._engine.bare(found[0])]
            raise

    async def _ask_no_model(self, tasks: list[Task]) -> bool:
        """Whether none of these shows anything of a provider."""
        names = await self._topics.without_models()
        return all(task.topic in names for task in tasks)

    async def _try(self, taken: list[asyncio.Task[Verdict]], started: float) -> None:
        """Fetch nothing else until this has gone well, or goes on for so long that nobody can have refused it."""
        await asyncio.wait(taken, timeout=TRIAL_SECONDS)
        self._dependencies.passed(started)

    async def _unlock_ghosts(self) -> None:
        """Give back what a poll locked whose reply never came: the engine answers a poll even if its client is gone."""
        # Before the engine is asked: what is in hand may be parked or over by the time it answers.
        known = self._known()
        await self._unlock([each for each in await self._locked() if each not in known])

    def _known(self) -> set[str]:
        """Name what the engine may list as ours, and what no lost poll has locked."""
        return {*self._in_hand.values(), *self._parked.now(), *self._backing_off.now()}

    async def _locked(self) -> list[str]:
        try:
            return await self._engine.locked()
        except WorkerError as exc:  # an outage, if it is one, is the next poll's to find: locks run out by themselves
            log.warning(Event.POLL_FAILED, reason=f"what is locked for us cannot be listed: {exc}")
            return []

    async def _unlock(self, task_ids: list[str]) -> None:
        """Unlock what the engine has just said is ours, as far as it is still; some at a time, as a stop is short."""
        for some in portions(task_ids, UNLOCKED_AT_ONCE):
            await asyncio.gather(*map(self._unlock_one, some))

    async def _unlock_one(self, task_id: str) -> None:
        with suppress(WorkerError):
            await self._engine.unlock(task_id)
            log.info(Event.LEFTOVER_UNLOCKED, task_id=task_id)

    def _take(self, task: Task, *, ours: bool) -> asyncio.Task[Verdict]:
        if not ours:
            log.warning(Event.TASK_NOT_OURS, task_id=task.id, topic=task.topic, definition=task.process_definition_id)
            self._topics.suspect()
        earlier = {handling for handling, task_id in self._in_hand.items() if task_id == task.id}
        handling = self._group.create_task(self._handle(task, earlier, ours=ours), name=f"task {task.id}")
        self._in_hand[handling] = task.id
        self._slots.hold(task.size)

        def over(handled: asyncio.Task[Verdict]) -> None:
            del self._in_hand[handled]
            self._slots.hold(-task.size)

        handling.add_done_callback(over)
        return handling

    async def _handle(self, task: Task, earlier: set[asyncio.Task[Verdict]], *, ours: bool) -> Verdict:
        """Handle the task, after its earlier delivery to this same process.

        That comes when the engine was away for longer than the lock, or when an unlock woke our own poll.
        """
        if earlier:
            await asyncio.wait(earlier)
            try:
                await self._engine.extend(task.id)
            except WorkerError:  # completed, failed, or another worker's by now
                return Abandon("handled by its earlier delivery")
            # It is still ours by this, however long it waited; its lock begins now.
            task = replace(task, fetched_at=monotonic())
        if not ours or self._stopping.is_set():
            return await self._handler.give_back(task, "stopping" if ours else "not ours")
        told = await self._handler.handle(task)
        match told:
            case Park():
                self._parked.note(task.id, told.duration)
            case Fail():
                self._backing_off.note(task.id, told.delay)
        return told

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


async def _at_most(work: Coroutine[Any, Any, None], seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await work
