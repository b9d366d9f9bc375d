"""One task in our hands: lease, slot, turn, waiting, delivery, and the one log line that tells of it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog

from worker.domain.tasks import Task
from worker.errors import (
    EngineDown,
    Permanent,
    ProviderAway,
    ProviderPaused,
    Stopping,
    StoreDown,
    TaskLost,
    Transient,
    TurnedAway,
)
from worker.loop.delivery import Delivery
from worker.loop.dependencies import Dependencies
from worker.loop.lease import Lease, Leases
from worker.loop.slots import Slots
from worker.loop.waiting import WaitingRoom
from worker.runtime.clock import monotonic
from worker.telemetry import metrics
from worker.telemetry.logs import Event, trace
from worker.turn.facts import Record
from worker.turn.task_turn import Held, Turn
from worker.turn.verdict import PARKED_FOR, Abandon, Fail, Park, Unlock, Verdict

LAST_WORD_SECONDS = 1.5
"""What the unlock of a cancelled turn may take: a second signal must end the worker even if the engine is dead."""

log = structlog.get_logger()


class TaskHandler:
    """Carries a fetched task to the engine's word on it. Never raises but for cancellation."""

    def __init__(
        self,
        leases: Leases,
        slots: Slots,
        turn: Turn,
        waiting: WaitingRoom,
        delivery: Delivery,
        dependencies: Dependencies,
        stopping: Callable[[], bool],
    ) -> None:
        self._leases = leases
        self._slots = slots
        self._turn = turn
        self._waiting = waiting
        self._delivery = delivery
        self._dependencies = dependencies
        self._stopping = stopping

    async def __call__(self, task: Task) -> Verdict:
        """See the task through; return what the engine was told."""
        started = monotonic()
        record = Record(activity=task.activity_id)
        told: Verdict = Abandon("the worker met an error it does not know")
        with structlog.contextvars.bound_contextvars(
            task_id=task.id, process_instance_id=task.process_instance_id, activity=task.activity_id
        ):
            try:
                async with self._leases.keep(task) as lease:
                    told = await self._see_through(task, record, lease)
            except TaskLost as exc:
                metrics.TASKS_LOST.inc()
                told = Abandon(str(exc))
            except asyncio.CancelledError:
                told = Unlock("out of time")
                raise
            except Exception as exc:  # noqa: BLE001 - one task's trouble must not end the worker; its lock runs out
                log.error(Event.TURN_CRASHED, trace=trace(exc))
            finally:
                _tell(task, record, told, monotonic() - started)
        return told

    async def give_back(self, task: Task, reason: str) -> Verdict:
        """Unlock a task that is not to be handled here."""
        record = Record(activity=task.activity_id)
        return await self._deliver(task, Unlock(reason), record, Lease.of(task, self._leases.lock))

    def close(self) -> None:
        """Send the waiting away: nothing new is started."""
        self._waiting.close()

    async def _see_through(self, task: Task, record: Record, lease: Lease) -> Verdict:
        try:
            verdict = await self._answered(task, record)
            return await self._deliver(task, verdict, record, lease)
        except asyncio.CancelledError:
            if not lease.lost:  # the grace period is over
                with suppress(TimeoutError, TaskLost):
                    async with asyncio.timeout(LAST_WORD_SECONDS):
                        await self._deliver(task, Unlock("out of time"), record, lease)
            raise

    async def _answered(self, task: Task, record: Record) -> Verdict:
        """Take turns at the slot and at the thread until there is a verdict."""
        while True:
            async with self._slots.turn():
                if self._stopping():
                    return Unlock("stopping")
                outcome = await self._turn(task, record)
            if not isinstance(outcome, Held):
                break
            try:
                if not await self._waiting.wait(outcome.key, task):
                    return Park(PARKED_FOR, "thread busy")
            except Stopping:
                return Unlock("stopping")
        if record.key is not None:
            self._waiting.wake(record.key)
        self._note_trouble(record)
        return outcome

    def _note_trouble(self, record: Record) -> None:
        match record.error:
            case EngineDown():
                self._dependencies.down("engine", record.error)
            case StoreDown():
                self._dependencies.down("redis", record.error)
            case ProviderPaused() | ProviderAway():
                self._dependencies.down("provider", record.error)
            case _:
                pass

    async def _deliver(self, task: Task, verdict: Verdict, record: Record, lease: Lease) -> Verdict:
        async with self._slots.delivery():
            with record.phase("deliver"):
                return await self._delivery(task, verdict, record, self._turn.case(task, record), lease)


def _tell(task: Task, record: Record, told: Verdict, seconds: float) -> None:
    """Write the one line of a turn, and count it."""
    verdict = type(told).__name__.lower()
    metrics.TURNS.labels(verdict).inc()
    for phase, spent in record.seconds.items():
        metrics.TURN_SECONDS.labels(phase).observe(spent)
    answer = record.answer
    line: dict[str, Any] = {
        "definition": task.process_definition_key,
        "assistant": record.assistant,
        "version": record.version,
        "attempt": record.attempt,
        "thread_id": record.thread.id if record.thread else None,
        "generation": record.thread.generation if record.thread else None,
        "use": record.use if record.thread else None,
        "seeded": record.seed.turns or None,
        "not_seeded": record.seed.left_out or None,
        "recovered": record.recovered,
        "repaired": record.repaired or None,
        "left_out": record.left_out or None,
        "outcome": answer.outcome.value if answer else None,
        "input_tokens": answer.input_tokens if answer else None,
        "output_tokens": answer.output_tokens if answer else None,
        "verdict": verdict,
        "reason": getattr(told, "reason", None),
        "error": str(record.error) if isinstance(record.error, Transient | Permanent | TurnedAway) else None,
        "retries": told.retries if isinstance(told, Fail) else None,
        "seconds": round(seconds, 3),
        **{f"{phase}_seconds": round(spent, 3) for phase, spent in record.seconds.items()},
    }
    log.info(Event.TURN, **{name: value for name, value in line.items() if value is not None})
