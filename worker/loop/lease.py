"""Keeps the locks of tasks in hand alive, and cancels the work of a task that is lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from worker.domain.tasks import Task
from worker.errors import EngineDown, TaskGone, TaskLost, TaskSuspended, WorkerError
from worker.ports.engine import Engine
from worker.runtime import background
from worker.runtime.clock import monotonic
from worker.telemetry import metrics
from worker.telemetry.logs import Event
from worker.turn.facts import TurnFacts

TWO_THIRDS = 2 / 3
"""Of a lock are over when it is renewed."""

log = structlog.get_logger()


@dataclass(slots=True)
class Lease:
    """The lock of one task. Monotonic time, so that a stepped clock changes nothing.

    `telling` is true once a verdict is on its way: then the engine's answer to it says whether the task is ours, and
    a renewal that finds the task gone, because the verdict arrived, cancels nothing.
    """

    lock: timedelta
    renewed_at: float
    lost: bool = False
    telling: bool = False
    _renewing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _ended: bool = False

    @classmethod
    def of(cls, task: Task, lock: timedelta) -> "Lease":
        """Describe the lock that came with the task."""
        return cls(lock, task.fetched_at)

    async def end(self) -> None:
        """Renew no more, and wait for a renewal under way: after an unlock it would take the lock back."""
        self._ended = True
        async with self._renewing:
            pass

    async def renew(self, extend: Callable[[], Awaitable[None]]) -> bool:
        """Extend the lock unless that has ended; False then."""
        async with self._renewing:
            if self._ended:
                return False
            # The engine's new time begins somewhere on the way: from here on it is counted too short, never too long.
            asked_at = monotonic()
            await extend()
            self.renewed_at = asked_at
        return True

    def is_live(self) -> bool:
        """Whether the engine cannot have given the task to anybody else yet."""
        return not self.lost and monotonic() - self.renewed_at < self.lock.total_seconds()


class Leases:
    """Renews each lock when two thirds are over, so that most turns need none. `Engine.fetch` asks for this `lock`.

    `down` is told when the engine cannot be reached: with all slots taken nobody else would notice.
    """

    def __init__(self, engine: Engine, lock: timedelta, down: Callable[[Exception], None]) -> None:
        self._engine = engine
        self._down = down
        self.lock = lock

    @asynccontextmanager
    async def keep(self, task: Task, facts: TurnFacts) -> AsyncIterator[Lease]:
        """Hold the lock while the body runs. The body is cancelled, and TaskLost raised, when the task is lost.

        A call of a model that is paid for goes on while another worker has the task: its answer is kept for that one.
        """
        owner = asyncio.current_task()
        assert owner is not None  # noqa: S101 - an async context manager always runs in a task
        lease = Lease.of(task, self.lock)
        first = TWO_THIRDS * self.lock.total_seconds()
        renewal = background.Later(first, lambda: self._renew(task, facts, lease, owner), f"lease {task.id}")
        try:
            yield lease
        except asyncio.CancelledError:
            # A stop may have cancelled the same task meanwhile, and then it stays cancelled.
            if lease.lost and owner.uncancel() == 0:
                raise TaskLost("the engine says that the task is not ours any more") from None
            raise
        finally:
            renewal.cancel()

    async def _renew(self, task: Task, facts: TurnFacts, lease: Lease, owner: asyncio.Task[object]) -> None:
        lock = self.lock.total_seconds()
        while True:
            # After a failure with each ninth: that leaves two more tries before the lock is over.
            pause = lock / 9
            try:
                if not await lease.renew(lambda: self._engine.extend(task.id)):
                    return
                pause, facts.is_taken = TWO_THIRDS * lock, False
                metrics.LOCK_EXTENSIONS.labels("extended").inc()
            except TaskSuspended:
                # The call goes on, and its answer is kept. Once the instance is resumed a renewal takes the lock back.
                metrics.LOCK_EXTENSIONS.labels("suspended").inc()
            except TaskLost as exc:
                metrics.LOCK_EXTENSIONS.labels("lost").inc()
                facts.is_taken = facts.is_asking and not isinstance(exc, TaskGone)
                if not facts.is_taken:
                    if not lease.telling:
                        lease.lost = True
                        owner.cancel(exc)  # the work tells this from a stop by what it carries
                    return
            except WorkerError as exc:
                metrics.LOCK_EXTENSIONS.labels("failed").inc()
                if isinstance(exc, EngineDown):
                    self._down(exc)
                log.warning(Event.LOCK_NOT_EXTENDED, task_id=task.id, reason=str(exc))
            await asyncio.sleep(pause)
