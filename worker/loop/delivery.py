"""Tells the engine a verdict. Only the telling repeats, never the turn."""

import asyncio
from contextlib import suppress

import structlog

from worker.domain.tasks import Task
from worker.errors import (
    Conflict,
    EngineDenied,
    EngineDown,
    EngineUnreached,
    Forbidden,
    Refused,
    StoreDown,
    TaskGone,
    TaskLost,
    TaskSuspended,
    TooLong,
    WorkerError,
)
from worker.loop.lease import Lease
from worker.ports.engine import Engine
from worker.ports.threads import Threads
from worker.runtime.pauses import growing
from worker.telemetry import metrics
from worker.telemetry.logs import Event
from worker.turn.facts import TurnFacts
from worker.turn.verdict import (
    Abandon,
    BpmnError,
    Case,
    Complete,
    Fail,
    Park,
    Unlock,
    Verdict,
    on_refusal,
    on_refused_error,
    on_suspended,
    on_too_long,
)

REFUSAL_PAUSES_SECONDS = (5.0, 20.0)
"""Pauses before a refused result or error is sent again: the step behind the task may have failed by chance."""
LONGEST_PAUSE_SECONDS = 10.0
REPORT_TRIES = 4
"""How often a failure, an error or an unlock is sent; a lock that nobody releases runs out by itself."""

log = structlog.get_logger()


class Delivery:
    """Hands verdicts in. One completion at most is accepted per task: the engine checks our worker id."""

    def __init__(self, engine: Engine, threads: Threads) -> None:
        self._engine = engine
        self._threads = threads

    async def deliver(self, task: Task, verdict: Verdict, facts: TurnFacts, case: Case, lease: Lease) -> Verdict:
        """Tell the engine and return what it was told in the end. Raises TaskLost."""
        lease.telling = True
        refused = f"the engine did not take our {type(verdict).__name__}"
        match verdict:
            case Complete():
                told: Verdict | None = await self._complete(task, verdict, case)
            case BpmnError():
                told = await self._throw(task, verdict, case, lease)
            case _:
                told = verdict
        # A result keeps the lock alive while it is sent again and again; everything else gives the lock away.
        if not isinstance(told, Complete | BpmnError | None):
            await lease.end()
            if isinstance(told, Fail):
                told = await self._with_retries_of_now(task, told)
            told = await self._report(task, told, lease)
        if told is None:
            return Abandon(refused)
        await self._close_journal(task, told, facts)
        return told

    async def _complete(self, task: Task, verdict: Complete, case: Case) -> Verdict:  # noqa: C901 - a branch per answer
        """Complete until the engine has said yes or no, however long it is away: nothing else would keep the answer."""
        maybe_done = False
        tries = refusals = 0
        while True:
            try:
                await self._engine.complete(task.id, verdict.variables, verdict.local)
            except TaskLost:
                # Gone may mean that we were heard, and only the reply was lost.
                if maybe_done and await self._was_completed(task):
                    return verdict
                raise
            except TaskSuspended:
                return on_suspended(case)
            except TooLong as exc:
                if verdict.wider is None:
                    return on_too_long(exc, case)
                # Only the database knows how long a text its column takes: some take half of what others do.
                verdict, pause, cause = verdict.wider(), 0.0, "too_long"
            except Refused as exc:
                if refusals == len(REFUSAL_PAUSES_SECONDS):
                    return on_refusal(exc, case)
                pause, cause = REFUSAL_PAUSES_SECONDS[refusals], "refused"
                refusals += 1
            except Conflict:
                # Branches that meet in a join collide often; the loser leaves no trace, and may try again at once.
                pause, cause = growing(0.05, tries, 1.0), "conflict"
            except EngineDown as exc:
                maybe_done = maybe_done or not isinstance(exc, EngineUnreached)
                pause, cause = growing(0.25, tries, LONGEST_PAUSE_SECONDS), "no_reply"
            else:
                return verdict
            tries += 1
            metrics.COMPLETIONS_REPEATED.labels(cause).inc()
            await asyncio.sleep(pause)

    async def _was_completed(self, task: Task) -> bool:
        """Ask the history whether a completion whose reply was lost got through. Who may not ask cannot know: no."""
        for tries in range(REPORT_TRIES):
            with suppress(EngineDown):
                try:
                    return await self._engine.was_completed(task.id)
                except EngineDenied:
                    return False
            await asyncio.sleep(growing(0.25, tries, LONGEST_PAUSE_SECONDS))
        return False

    async def _throw(self, task: Task, verdict: BpmnError, case: Case, lease: Lease) -> Verdict | None:
        """Throw until the engine has said yes, or no a few times, which is a failure then. None if nobody answers.

        A throw that is refused for good and dropped would come again with each lock, and nobody would hear of it.
        """
        refusals = 0
        while True:
            try:
                return verdict if await self._tell(task, verdict, lease) else None
            except Refused as exc:
                if refusals == len(REFUSAL_PAUSES_SECONDS):
                    return on_refused_error(exc, verdict.code, case)
            await asyncio.sleep(REFUSAL_PAUSES_SECONDS[refusals])
            refusals += 1

    async def _with_retries_of_now(self, task: Task, failed: Fail) -> Fail:
        """Count from the retries that somebody may have set while we had the task; who cannot know tells what it knows.

        Raises TaskLost.
        """
        if failed.cost is None:
            return failed
        try:
            now = (await self._engine.state(task.id)).retries
        except TaskLost:
            raise
        except WorkerError:
            return failed
        return failed if now is None or now == task.retries else failed.after(now)

    async def _report(self, task: Task, verdict: Verdict, lease: Lease) -> Verdict | None:
        """Tell anything that is no result; None if the engine did not take it: the lock runs out by itself then.

        What a failure says may be why it is refused, such as a character that a database does not store.
        """
        try:
            return verdict if await self._tell(task, verdict, lease) else None
        except Refused as exc:
            if isinstance(verdict, Fail) and not isinstance(exc, Forbidden) and verdict.plainer() != verdict:
                return await self._report(task, verdict.plainer(), lease)
            _not_delivered(verdict, str(exc))
            return None

    async def _tell(self, task: Task, verdict: Verdict, lease: Lease) -> bool:
        """Tell everything but a completion, more than once if need be; False if nobody takes it. Raises Refused."""
        maybe_told = False
        for tries in range(REPORT_TRIES):
            try:
                await self._send(task, verdict, lease)
            except TaskLost as exc:
                # Of what is gone, or another worker's, nothing is to be given back.
                if isinstance(verdict, Unlock | Park) or (maybe_told and await self._was_told(task, verdict, exc)):
                    return True
                raise
            except (EngineDown, Conflict) as exc:
                maybe_told = maybe_told or not isinstance(exc, EngineUnreached | Conflict)
                reason = str(exc)
                if tries + 1 < REPORT_TRIES:
                    await asyncio.sleep(growing(0.25, tries, LONGEST_PAUSE_SECONDS))
            except Refused:
                raise
            except WorkerError as exc:
                reason = str(exc)
                break
            else:
                return True
        _not_delivered(verdict, reason)
        return False

    async def _was_told(self, task: Task, verdict: Verdict, lost: TaskLost) -> bool:
        """Whether a report whose reply was lost got through, by what became of the task meanwhile.

        Where it did not, the answer must stay for the worker that has the task now: it tells it, and asks nothing.
        """
        if isinstance(lost, TaskGone):
            return True
        # A BPMN error would have ended it. After a failure it comes to anybody again, with the retries that were told.
        if isinstance(verdict, Fail) and verdict.retries != task.retries:
            with suppress(WorkerError):
                return (await self._engine.state(task.id)).retries == verdict.retries
        return False

    async def _send(self, task: Task, verdict: Verdict, lease: Lease) -> None:
        if isinstance(verdict, Fail | BpmnError) and not lease.is_live():
            await self._engine.extend(task.id)  # frozen for longer than the lock: is it ours still?
        match verdict:
            case Fail():
                await self._engine.fail(task.id, verdict.message, verdict.details, verdict.retries, verdict.delay)
            case BpmnError():
                await self._engine.bpmn_error(task.id, verdict.code, verdict.message, verdict.variables)
            case Park():
                await self._engine.extend(task.id, verdict.duration)
                metrics.PARKED.labels(verdict.reason).inc()
            case Unlock():
                if lease.is_live():  # else there is nothing to give back
                    await self._engine.unlock(task.id)
            case Abandon() | Complete():
                pass

    async def _close_journal(self, task: Task, verdict: Verdict, facts: TurnFacts) -> None:
        """Note what the engine knows now; without Redis the entry runs out by itself."""
        if facts.key is None:
            return
        with suppress(StoreDown):
            match verdict:
                case Complete() | BpmnError():  # neither comes again
                    await self._threads.close(facts.key, task.id)
                case Fail():
                    # Behind the report: else, were that lost, the engine's number would look raised by a person.
                    await self._threads.note_retries(facts.key, task.id, verdict.retries)
                    if verdict.drops_answer:
                        await self._threads.drop_answer(facts.key, task.id, facts.attempt)
                case _:
                    pass


def _not_delivered(verdict: Verdict, reason: str) -> None:
    log.warning(Event.VERDICT_NOT_DELIVERED, verdict=type(verdict).__name__, reason=reason)
