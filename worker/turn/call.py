"""One attempt's call of the model: at once or in the background, and what may still run of it."""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from worker.domain.file_stores import cited
from worker.domain.threads import Answer, Asked, Assistant, Hold, Outcome, Question, Thread
from worker.errors import Filtered, ModelDown, ModelUnknown, StoreDown, TaskGone, ThreadLocked, WorkerError
from worker.ports.providers import ThreadProvider, Watcher, Watchers
from worker.ports.threads import Threads
from worker.runtime.clock import monotonic
from worker.telemetry import spans
from worker.telemetry.logs import Event
from worker.turn.facts import TurnFacts

LOCKED_PAUSES_SECONDS = (1.0, 2.0, 4.0)
"""Pauses before looks at a conversation on which, says the provider, a call still runs."""
LANDING_TIME = timedelta(seconds=10)
"""How long after its timeout a call's items may still appear on the thread."""
CANCEL_SECONDS = 2.0
"""What the end of a lost task's run at the provider may take."""

log = structlog.get_logger()


@dataclass(slots=True)
class Call:
    """The call of one attempt.

    `earlier` is a call that an earlier delivery of the task may have left running; `watchers` know who reads along, if
    anybody may, and `watched` what the store said of that; `run` the response id of one in the
    background, as long as it may go on; `began` whether one was begun here, which costs even if it brings no answer;
    `ends_at`, monotonic, when the call's time is over.
    """

    threads: Threads
    provider: ThreadProvider
    hold: Hold
    attempt: int
    question: Question
    assistant: Assistant
    facts: TurnFacts
    earlier: Asked | None
    watchers: Watchers | None
    watched: bool = False
    run: str | None = None
    began: bool = False
    ends_at: float = 0.0

    async def call(self, thread: Thread) -> Answer:
        """Ask; while the provider says that a call still runs there, wait, and look whether it was ours."""
        self.ends_at = monotonic() + self.assistant.timeout.total_seconds()
        watcher = self._watcher()
        try:
            with self.facts.phase("model"), spans.call(self.assistant, thread, self.question) as span:
                answer = await self._answer(thread, watcher)
                if self.assistant.file_store:
                    self.facts.looked_up = cited(self.assistant.files, answer.cited)
                span.answered(answer)
                return replace(answer, thread=thread)
        finally:
            if watcher is not None:
                watcher.ended()

    async def resume(self, thread: Thread) -> Answer | None:
        """Go on with the run that an earlier attempt began and noted; None if there is none, or none any more."""
        if self.earlier is None or self.earlier.response_id is None:
            return None
        self.facts.thread = thread
        # The journal's deadline has time in it for items to appear; the run itself has less.
        self.ends_at = monotonic() + (self.earlier.running_for - LANDING_TIME).total_seconds()
        with self.facts.phase("model"):
            answer = await self._follow(self.earlier.response_id)
        if answer is not None:
            self.facts.recovered = "journal"
        return answer

    def let_earlier_end(self) -> None:
        """Where calls must not overlap, an earlier one must be over before we ask again."""
        if self.earlier and not self.provider.overlaps and self.earlier.running_for > timedelta(0):
            raise ThreadLocked("an earlier call for this task may still run", retry_after=self.earlier.running_for)

    async def end(self, cause: BaseException) -> None:
        """End a run in the background if its task is gone, unless another worker has the run by now.

        A stop of this worker leaves it, and so does another worker that has the task: the next worker resumes it.
        """
        if self.run is None or not _is_of_task_gone(cause):
            return
        with suppress(WorkerError, TimeoutError):
            async with asyncio.timeout(CANCEL_SECONDS):
                if await self.threads.renew(self.hold):
                    await self.provider.cancel(self.run)

    def _watcher(self) -> Watcher | None:
        """Say who hears this call while it runs: nobody where it runs in the background."""
        if self.watchers is None or self.assistant.background:
            return None
        return self.watchers.watcher(self.hold.key, self.hold.task_id, self.attempt, watched=self.watched)

    async def _answer(self, thread: Thread, watcher: Watcher | None) -> Answer:
        for pause in LOCKED_PAUSES_SECONDS:
            try:
                return await self._put(thread, watcher)
            except ThreadLocked:
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - spreads repeats
            # The call that runs there may be this question's own, of a worker that is gone.
            found = await self.provider.look(thread, self.question.ref)
            if found is not None:
                self.facts.recovered = "thread"
                return found
        return await self._put(thread, watcher)

    async def _put(self, thread: Thread, watcher: Watcher | None) -> Answer:
        """Put the question once and have its answer."""
        if not self.assistant.background:
            return await self.provider.ask(self.hold.key, thread, self.question, self.assistant, watcher)
        try:
            self.run = await self.provider.start(self.hold.key, thread, self.question, self.assistant)
        except Filtered:
            return Answer("", Outcome.FILTERED, "content_filter")
        self.began = True
        try:
            # At once: a worker that dies from here on leaves a run whose answer the next one fetches.
            await self.threads.note(self.hold, self.attempt, self.run)
        except StoreDown as exc:  # the ref on the thread leads to the answer, too
            log.error(Event.JOURNAL_NOT_WRITTEN, reason=str(exc))
        answer = await self._follow(self.run)
        if answer is None:
            raise ModelUnknown("the provider does not know the run any more that it has begun")
        return answer

    async def _follow(self, run: str) -> Answer | None:
        """Wait for a run to end. When it ended without an answer, no call for this task goes on anywhere."""
        self.run = run
        try:
            answer = await self.provider.follow(run, timedelta(seconds=self.ends_at - monotonic()))
        except ModelDown:
            self.run = self.earlier = None
            raise
        self.run = None
        return answer


def _is_of_task_gone(cause: BaseException) -> bool:
    """Whether this is the lease's cancellation for that. One by a stop of the worker carries nothing."""
    match cause:
        case asyncio.CancelledError(args=(TaskGone(),)):
            return True
    return False
