"""One task in our hands: lease, slot, turn, waiting, delivery, and the one log line that tells of it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal, Protocol

import structlog

from worker.domain.tasks import Task
from worker.errors import Permanent, Stopping, TaskLost, Transient, TurnedAway, WorkerError
from worker.loop.delivery import Delivery
from worker.loop.dependencies import Dependencies
from worker.loop.lease import Lease, Leases
from worker.loop.slots import Slots
from worker.loop.waiting import WaitingRoom
from worker.runtime.clock import monotonic
from worker.telemetry import metrics, spans
from worker.telemetry.logs import Event, trace
from worker.turn.facts import TurnFacts
from worker.turn.task_turn import Held
from worker.turn.verdict import PARKED_FOR, Abandon, Case, Fail, Park, Unlock, Verdict

LAST_WORD_SECONDS = 3.0
"""What the unlock of a cancelled turn may take, which is two requests beside those of all other turns: a second signal
must end the worker even if the engine is dead."""

LONGEST_ERROR = 1000
"""Characters of an error's text in the line of its turn: it may name what a model calls for."""

log = structlog.get_logger()


class Taking(Protocol):
    """Takes the turns of tasks: `turn.task_turn.Turn`, or `turn.handler_turn.HandlerTurn`."""

    async def take(self, task: Task, facts: TurnFacts) -> Verdict | Held:
        """Take the turn and say what the engine is to be told. Raises nothing but for cancellation."""
        ...

    def case(self, task: Task, facts: TurnFacts) -> Case:
        """Say what is known of the task, for a verdict."""
        ...


class TaskHandler:
    """Carries a fetched task to the engine's word on it. Never raises but for cancellation."""

    def __init__(
        self,
        leases: Leases,
        slots: Slots,
        turn: Taking,
        waiting: WaitingRoom,
        delivery: Delivery,
        dependencies: Dependencies,
        stopping: Callable[[], bool],
        kind: Literal["assistant", "function"] = "assistant",
    ) -> None:
        self._leases = leases
        self._slots = slots
        self._turn = turn
        self._waiting = waiting
        self._delivery = delivery
        self._dependencies = dependencies
        self._stopping = stopping
        self._kind = kind

    async def handle(self, task: Task) -> Verdict:
        """See the task through; return what the engine was told."""
        started = monotonic()
        facts = TurnFacts(activity=task.activity_id)
        told: Verdict = Abandon("the worker met an error it does not know")
        with (
            structlog.contextvars.bound_contextvars(
                task_id=task.id, process_instance_id=task.process_instance_id, activity=task.activity_id
            ),
            spans.task(task) as span,
        ):
            try:
                async with self._leases.keep(task, facts) as lease:
                    told = await self._see_through(task, facts, lease)
            except TaskLost as exc:
                metrics.TASKS_LOST.inc()
                told = Abandon(str(exc))
            except asyncio.CancelledError:
                told = Unlock("out of time")
                raise
            except Exception as exc:  # noqa: BLE001 - one task's trouble must not end the worker; its lock runs out
                log.error(Event.TURN_CRASHED, trace=trace(exc))
            finally:
                metrics.of(metrics.TURNS, type(told).__name__.lower(), self._kind).inc()
                _tell(task, facts, told, monotonic() - started)
                span.told(type(told).__name__.lower(), facts.assistant, facts.error)
        return told

    async def give_back(self, task: Task, reason: str) -> Verdict:
        """Unlock a task that is not to be handled here."""
        facts = TurnFacts(activity=task.activity_id)
        return await self._deliver(task, Unlock(reason), facts, Lease.of(task, self._leases.lock))

    def close(self) -> None:
        """Send the waiting away: nothing new is started."""
        self._waiting.close()
        self._slots.close()

    async def _see_through(self, task: Task, facts: TurnFacts, lease: Lease) -> Verdict:
        try:
            verdict = await self._answered(task, facts)
            if facts.is_taken:
                raise TaskLost("another worker has the task, and finds the answer in the journal")
            # Without a slot: an engine that is slow to take answers must not keep the model idle.
            return await self._deliver(task, verdict, facts, lease)
        except asyncio.CancelledError:
            if not (lease.lost or facts.is_taken):  # the grace period is over
                with suppress(TimeoutError, TaskLost):
                    async with asyncio.timeout(LAST_WORD_SECONDS):
                        await self._deliver(task, Unlock("out of time"), facts, lease)
            raise

    async def _answered(self, task: Task, facts: TurnFacts) -> Verdict:
        """Take turns at the slot and at the thread until there is a verdict."""
        while True:
            async with self._slots.turn():
                # It may have waited for the slot since before the stop.
                if self._stopping():
                    return Unlock("stopping")
                outcome = await self._turn.take(task, facts)
            if not isinstance(outcome, Held):
                break
            try:
                if not await self._waiting.wait(outcome.key, task):
                    return Park(PARKED_FOR, "thread busy")
            except Stopping:
                return Unlock("stopping")
        if facts.key is not None:
            self._waiting.wake(facts.key)
        # Before the verdict is told: a task that is unlocked would otherwise be fetched again at once.
        if isinstance(facts.error, WorkerError) and facts.error.dependency is not None:
            self._dependencies.down(facts.error.dependency, facts.error, facts.provider)
        return outcome

    async def _deliver(self, task: Task, verdict: Verdict, facts: TurnFacts, lease: Lease) -> Verdict:
        async with self._slots.delivery():
            with facts.phase("deliver"):
                return await self._delivery.deliver(task, verdict, facts, self._turn.case(task, facts), lease)


def _tell(task: Task, facts: TurnFacts, told: Verdict, seconds: float) -> None:
    """Write the one line of a turn, and count what is in it."""
    verdict = type(told).__name__.lower()
    if isinstance(told, Fail) and not told.retries:
        metrics.INCIDENTS.inc()
    for phase, spent in facts.seconds.items():
        metrics.of(metrics.TURN_SECONDS, phase).observe(spent)
    answer = facts.answer
    line: dict[str, Any] = {
        "definition": task.process_definition_key,
        "assistant": facts.assistant or None,
        "version": facts.version,
        "attempt": facts.attempt,
        "calls": facts.calls or None,
        "thread_id": facts.thread.id if facts.thread else None,
        "generation": facts.thread.generation if facts.thread else None,
        "use": facts.use if facts.thread else None,
        "seeded": facts.seed.turns or None,
        "not_seeded": facts.seed.left_out or None,
        "memory": facts.memory if facts.memory != "whole" else None,
        "recalled": (len(facts.recalled.facts) if facts.recalled else 0) or None,
        "not_recalled": (facts.recalled.why if facts.recalled else "") or None,
        "looked_up": tuple(facts.looked_up) or None,
        "untold": (answer.untold if answer else 0) or None,
        "recovered": facts.recovered,
        "repaired": facts.repaired or None,
        "left_out": facts.left_out or None,
        "budgets": facts.budgets or None,
        "outcome": answer.outcome.value if answer else None,
        "input_tokens": answer.input_tokens if answer else None,
        "cached_tokens": answer.cached_tokens if answer else None,
        "cache_write_tokens": answer.cache_write_tokens if answer else None,
        "output_tokens": answer.output_tokens if answer else None,
        "reasoning_tokens": answer.reasoning_tokens if answer else None,
        "cost": answer.cost.amount if answer and answer.cost else None,
        "currency": answer.cost.currency if answer and answer.cost else None,
        "verdict": verdict,
        "reason": getattr(told, "reason", None),
        "error": str(facts.error)[:LONGEST_ERROR]
        if isinstance(facts.error, Transient | Permanent | TurnedAway)
        else None,
        "retries": told.retries if isinstance(told, Fail) else None,
        "seconds": round(seconds, 3),
        **{f"{phase}_seconds": round(spent, 3) for phase, spent in facts.seconds.items()},
    }
    log.info(Event.TURN, **{name: value for name, value in line.items() if value is not None})
