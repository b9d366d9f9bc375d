"""What happens under the hold: find the thread, find the answer on it, or ask. Used by `worker/turn.py` only."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from time import monotonic
from typing import Any, TypeVar

import structlog

from worker import metrics, prompt, result
from worker.domain import Activity, Answer, Assistant, Entered, Question, Task, Thread, Variable, ref
from worker.errors import (
    BadRequest,
    ModelDown,
    ModelUnknown,
    Poisonous,
    Stopping,
    StoreDown,
    TaskLost,
    ThreadGone,
    ThreadLocked,
    WorkerError,
)
from worker.logs import Event
from worker.ports import Engine, Model, Threads
from worker.properties import TaskProperties
from worker.record import Record, Rules

SNAPSHOT_SECONDS = 2.0
"""How long the variables that came with a task are trusted to know the instance's thread."""
LOCKED_PAUSES_SECONDS = (1.0, 2.0, 4.0)
"""Pauses before looks at a conversation on which, says the provider, a call still runs."""
LANDING_TIME = timedelta(seconds=10)
"""How long after its timeout a call's items may still appear on the thread."""
CANCEL_SECONDS = 2.0
"""What the end of a lost task's run at the provider may take."""
PUBLISH_PATIENCE_SECONDS = 0.25
"""How long an answer in hand waits for the thread variable; if it is late, the next turn writes it again."""

T = TypeVar("T")
log = structlog.get_logger()


DEADLY = 3
"""After so many workers that ended under a task it fails once before it runs again."""
NOT_RUN = (ModelDown, BadRequest, ThreadGone, Stopping)
"""After these the call certainly did not run, so nobody has to look for it."""
TROUBLE = (ModelDown, ModelUnknown, ThreadGone)
"""These start the clock after which trouble that is not the task's own costs a retry all the same."""


@dataclass(slots=True)
class Asking:
    """One attempt's time under the hold.

    `ends_at`, monotonic, is when the call's time is over; `run` is the response id of a call in the background as long
    as it may go on.
    """

    engine: Engine
    threads: Threads
    model: Model
    rules: Rules
    stopping: Callable[[], bool]
    task: Task
    activity: Activity
    wanted: TaskProperties
    assistant: Assistant
    entry: Entered
    record: Record
    bound: Thread | None = field(init=False)
    question: Question = field(init=False)
    intended: bool = False
    ends_at: float = field(init=False)
    run: str | None = None

    def __post_init__(self) -> None:
        """Start from what the map says."""
        self.bound = self.entry.thread

    async def answer(self) -> Answer | None:
        """Return the answer that counts, or None if the hold was lost before anything was asked.

        Lets go of the hold on every way out; withdraws the intent if no call of this task can be running.
        """
        async with _beside(self._keep_hold(), f"hold for {self.task.id}"):
            try:
                self._check_deaths()
                text = prompt.text(self.task, self.activity, self.wanted)
                self.question = Question(text, ref(self.task.id, self.entry.attempt))
                answer = await self._find_or_ask()
            except BaseException as exc:
                if self.run is not None and _is_of_lost_task(exc):
                    await self._end_run(self.run)
                await self._leave(exc)
                raise
            if answer is None:
                await self._leave(None)
            return answer

    def _check_deaths(self) -> None:
        if self.entry.deaths >= DEADLY:
            raise Poisonous(
                f"{self.entry.deaths} workers in a row ended without a word while they had this task. It may be what "
                "ends them, or have been beside it: look at their logs, and at memory"
            )

    async def _leave(self, cause: BaseException | None) -> None:
        ours_may_run = self.run is not None or (self.intended and not isinstance(cause, NOT_RUN))
        asked = ours_may_run or self.entry.asked is not None
        with suppress(StoreDown):  # then the hold runs out by itself
            await self.threads.leave(self.entry.hold, asked=asked, trouble=isinstance(cause, TROUBLE))

    async def _find_or_ask(self) -> Answer | None:
        thread, gone = await self._known_thread()
        if thread is not None and self._must_look():
            try:
                found = await self._resume(thread) or await self._look(thread)
            except ThreadGone:
                thread, gone = None, thread
            else:
                if found is not None:
                    self.record.recovered = self.record.recovered or "thread"
                    return await self._keep(replace(found, thread=thread), published=self.entry.published)
                self._let_earlier_call_end()
        if thread is not None:
            if self.record.use == "adopted" and not await self._bind(thread):
                return None
            try:
                return await self._ask(thread)
            except ThreadGone:  # validation is optimistic, or the thread went between look and use
                gone = thread
        thread = await self._create(gone)
        return None if thread is None else await self._ask(thread)

    def _must_look(self) -> bool:
        return self.rules.strict or self.entry.asked is not None or self.record.use == "adopted"

    async def _known_thread(self) -> tuple[Thread | None, Thread | None]:
        """Return the thread by the map or else by the process variable, and one that is known to be gone."""
        if self.entry.thread is not None:
            return self.entry.thread, None
        thread = result.read_thread_variable(await self._variable())
        if thread is None:
            return None, None
        try:
            owner = await self.model.metadata(thread.id)
        except ThreadGone:
            return None, thread
        except BadRequest as exc:  # not even the form of an id of this provider's
            log.warning(Event.THREAD_VARIABLE_REJECTED, reason=str(exc))
            return None, None
        expected = self.entry.hold.key.metadata()
        if any(owner.get(name) != value for name, value in expected.items()):
            log.warning(Event.THREAD_VARIABLE_REJECTED, reason="the conversation belongs to somebody else")
            return None, None
        self.record.use = "adopted"
        return thread, None

    async def _variable(self) -> Variable | None:
        """Return the thread variable; anew if the task waited, as one beside it may have written it meanwhile."""
        name = result.thread_variable_name(self.assistant.name)
        if monotonic() - self.task.fetched_at < SNAPSHOT_SECONDS:
            return self.task.variables.get(name)
        return await self.engine.variable(self.task.process_instance_id, name)

    async def _resume(self, thread: Thread) -> Answer | None:
        """Go on with the run that an earlier attempt began and noted; None if there is none, or none any more."""
        asked = self.entry.asked
        if asked is None or asked.response_id is None:
            return None
        self.record.thread = thread
        self.ends_at = monotonic() + (asked.running_for - LANDING_TIME).total_seconds()
        with self.record.phase("model"):
            answer = await self._follow(asked.response_id)
        if answer is not None:
            self.record.recovered = "journal"
        return answer

    async def _look(self, thread: Thread) -> Answer | None:
        self.record.thread = thread
        with self.record.phase("look"):
            return await self.model.look(thread.id, self.question.ref, deep=self.entry.asked is not None)

    def _let_earlier_call_end(self) -> None:
        """Where the provider does not refuse a second call, an earlier one must be over before we ask again."""
        asked = self.entry.asked
        if asked and not self.model.refuses_overlap and asked.running_for > timedelta(0):
            raise ThreadLocked("an earlier call for this task may still run", retry_after=asked.running_for)

    async def _create(self, gone: Thread | None) -> Thread | None:
        """Create and bind a thread; None if the hold was lost, and then the new conversation is deleted again."""
        generation = max((known.generation for known in (self.bound, gone) if known), default=0) + 1
        metadata = self.entry.hold.key.metadata() | {"generation": str(generation)}
        if gone is not None:
            metadata["replaces"] = gone.id
        try:
            with self.record.phase("create"):
                thread = Thread(await self.model.create_thread(metadata), generation)
            bound = await self._bind(thread)
        except (ModelUnknown, StoreDown, asyncio.CancelledError):
            metrics.THREADS.labels("possibly_orphaned").inc()
            raise
        if not bound:
            await self._discard(thread)
            return None
        self.record.use = "created" if gone is None else "recreated"
        return thread

    async def _bind(self, thread: Thread) -> bool:
        replaces = self.bound.generation if self.bound else 0
        if await self.threads.bind(self.entry.hold, thread, replaces):
            self.bound = thread
            return True
        self._hold_lost()
        return False

    async def _discard(self, thread: Thread) -> None:
        """Delete a conversation that lost against another; it is empty."""
        log.info(Event.THREAD_DISCARDED, thread_id=thread.id)
        metrics.THREADS.labels("discarded").inc()
        with suppress(WorkerError):
            await self.model.delete_thread(thread.id)

    async def _ask(self, thread: Thread) -> Answer | None:
        """Note the intent, ask, and keep the answer; the thread variable is written meanwhile."""
        self.record.thread = thread
        if self.stopping():
            raise Stopping("the worker is stopping")
        if not await self.threads.intend(self.entry.hold, self.entry.attempt, self.assistant.timeout + LANDING_TIME):
            self._hold_lost()
            return None
        self.intended = True
        self.ends_at = monotonic() + self.assistant.timeout.total_seconds()
        metrics.THREADS.labels(self.record.use).inc()
        if self.record.use == "adopted" or (self.record.use == "reused" and self.entry.published):
            return await self._keep(await self._call(thread), published=True)
        async with _beside(self._publish(thread), f"publish for {self.task.id}") as publishing:
            answer = await self._call(thread)
            await asyncio.wait({publishing}, timeout=PUBLISH_PATIENCE_SECONDS)
            published = publishing.done() and publishing.exception() is None and publishing.result()
            return await self._keep(answer, published=published)

    async def _call(self, thread: Thread) -> Answer:
        """Ask; while the provider says that a call still runs there, wait, and look whether it was ours."""
        with self.record.phase("model"):
            for pause in LOCKED_PAUSES_SECONDS:
                try:
                    return await self._put(thread)
                except ThreadLocked:
                    await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - spreads repeats
                found = await self.model.look(thread.id, self.question.ref)
                if found is not None:
                    self.record.recovered = "thread"
                    return replace(found, thread=thread)
            return await self._put(thread)

    async def _put(self, thread: Thread) -> Answer:
        """Put the question once and have its answer."""
        if not self.assistant.background:
            return replace(await self.model.ask(thread.id, self.question, self.assistant), thread=thread)
        self.run = await self.model.start(thread.id, self.question, self.assistant)
        try:
            await self.threads.note(self.entry.hold, self.entry.attempt, self.run)
        except StoreDown as exc:  # the ref on the thread leads to the answer, too
            log.error(Event.JOURNAL_NOT_WRITTEN, reason=str(exc))
        answer = await self._follow(self.run)
        if answer is None:
            raise ModelUnknown("the provider does not know the run any more that it has begun")
        return replace(answer, thread=thread)

    async def _follow(self, run: str) -> Answer | None:
        """Wait for a run to end. When it ended without an answer, no call for this task goes on anywhere."""
        self.run = run
        try:
            answer = await self.model.follow(run, timedelta(seconds=self.ends_at - monotonic()))
        except ModelDown:
            self.run, self.entry = None, replace(self.entry, asked=None)
            raise
        self.run = None
        return answer

    async def _end_run(self, run: str) -> None:
        """Cancel the run of a lost task, unless another worker has the task, and with it the run, by now."""
        with suppress(WorkerError, TimeoutError):
            async with asyncio.timeout(CANCEL_SECONDS):
                if await self.threads.renew(self.entry.hold):
                    await self.model.cancel(run)

    async def _keep(self, answer: Answer, *, published: bool) -> Answer:
        """Journal the answer. Without Redis it is completed all the same: the engine is the better journal."""
        try:
            with self.record.phase("answer"):
                return await self.threads.answer(self.entry.hold, self.entry.attempt, answer, published=published)
        except StoreDown as exc:
            log.error(Event.JOURNAL_NOT_WRITTEN, reason=str(exc))
            return answer

    async def _publish(self, thread: Thread) -> bool:
        """Write the thread variable; a failure costs nothing while Redis lives, and the next turn tries again."""
        name = result.thread_variable_name(self.assistant.name)
        try:
            await self.engine.set_variable(self.task.process_instance_id, name, result.thread_variable(thread))
        except WorkerError as exc:
            log.warning(Event.THREAD_VARIABLE_NOT_WRITTEN, thread_id=thread.id, reason=str(exc))
            return False
        return True

    async def _keep_hold(self) -> None:
        """Renew the hold at a third of its lease. Losing it stops nothing: the answer still belongs to its task."""
        while True:
            await asyncio.sleep(self.rules.lease.total_seconds() / 3)
            with suppress(StoreDown):
                if not await self.threads.renew(self.entry.hold):
                    self._hold_lost()
                    return

    def _hold_lost(self) -> None:
        log.warning(Event.HOLD_LOST)
        metrics.HOLDS_LOST.inc()


def _is_of_lost_task(cause: BaseException) -> bool:
    """Whether this is the lease's cancellation. One by a stop of the worker carries nothing."""
    match cause:
        case asyncio.CancelledError(args=(TaskLost(),)):
            return True
    return False


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, T], name: str) -> AsyncIterator[asyncio.Task[T]]:
    """Run this beside the body, and have it over when the body ends."""
    task = asyncio.create_task(work, name=name)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})
