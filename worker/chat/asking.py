"""Has asks answered: claims them, some at a time, beside the tasks."""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, Self

import structlog

from worker.chat.ask_turn import AskTurn
from worker.chat.outcomes import BUSY, After, Later, Settled
from worker.domain.asks import Ask
from worker.errors import StoreDown, TranscriptDown, WorkerError
from worker.ports.asks import AskBook
from worker.runtime import background
from worker.runtime.clock import monotonic
from worker.runtime.pauses import growing
from worker.telemetry import metrics
from worker.telemetry.logs import Event, trace
from worker.turn.facts import TurnFacts

LOOK_SECONDS = 1.0
"""Between two looks for asks that came to other workers, give or take half; those that came to this one wake it."""
COUNT_SECONDS = 10.0
"""Between two looks at how many wait."""
LONGEST_PAUSE_SECONDS = 30.0
SETTLING_SECONDS = 30.0
"""How long it is tried to say what came of an ask. Who has it then finds its answer in the journal."""
LAST_WORD_SECONDS = 1.5
"""What it may take to hand an ask on at the end."""

log = structlog.get_logger()


class Asking:
    """Answers asks inside of its block. `ready` says whether any may be begun with now, `news` that there are some.

    When the block ends what runs may go on until `grace` after `stopping`, or until `hurry`; then it is handed on.
    """

    def __init__(
        self,
        asks: AskBook,
        turn: AskTurn,
        slots: int,
        lease: timedelta,
        ready: Callable[[], bool],
        news: asyncio.Event,
        stopping: asyncio.Event,
        hurry: asyncio.Event,
        grace: timedelta,
    ) -> None:
        self._asks = asks
        self._turn = turn
        self._slots = slots
        self._lease = lease
        self._ready = ready
        self._news = news
        self._stopping = stopping
        self._hurry = hurry
        self._grace = grace
        self._running: dict[asyncio.Task[None], str] = {}
        self._looking: list[asyncio.Task[None]] = []
        self._ends_at: float | None = None

    async def __aenter__(self) -> Self:
        """Begin."""
        for name, work in (("asks", self._look()), ("asks counted", self._count()), ("asks end", self._note_end())):
            self._looking.append(asyncio.create_task(work, name=name))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let what runs come to its end, and hand on the rest."""
        looking, *others = self._looking
        self._news.set()
        if self._stopping.is_set():  # what it has claimed by now must not wait for its lease to run out
            await asyncio.wait({looking}, timeout=LAST_WORD_SECONDS)
        looking.cancel()
        await asyncio.wait({looking})
        if self._running:
            ends_at = monotonic() + self._grace.total_seconds() if self._ends_at is None else self._ends_at
            await self._until_over_or_hurry(max(0.0, ends_at - monotonic()))
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)
        for task in others:
            task.cancel()
        await asyncio.wait(set(others))

    async def _until_over_or_hurry(self, seconds: float) -> None:
        hurry = asyncio.create_task(self._hurry.wait(), name="asks hurry")
        over = asyncio.create_task(asyncio.wait(self._running), name="asks over")
        await asyncio.wait({hurry, over}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        over.cancel()

    async def _note_end(self) -> None:
        await self._stopping.wait()
        self._ends_at = monotonic() + self._grace.total_seconds()

    async def _look(self) -> None:
        tries = 0
        while not self._stopping.is_set():
            self._news.clear()
            pause = LOOK_SECONDS * random.uniform(0.5, 1.5)  # noqa: S311 - spreads looks
            try:
                if self._ready() and (free := self._slots - len(self._running)):
                    for ask in await self._asks.claim(free, self._lease, {*self._running.values()}):
                        self._begin(ask)
                tries = 0
            except Exception as exc:  # noqa: BLE001 - whatever it is, the next look may do better
                if not isinstance(exc, WorkerError):
                    log.error(Event.TURN_CRASHED, trace=trace(exc))
                pause, tries = growing(LOOK_SECONDS, tries, LONGEST_PAUSE_SECONDS), tries + 1
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._news.wait()

    async def _count(self) -> None:
        while True:
            with suppress(TranscriptDown):
                metrics.ASKS_WAITING.set(await self._asks.backlog())
            await asyncio.sleep(COUNT_SECONDS)

    def _begin(self, ask: Ask) -> None:
        task = asyncio.create_task(self._answer(ask), name=f"ask {ask.id}")
        self._running[task] = ask.id
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        # Its thread may have a next one, and here is room for it.
        self._news.set()

    async def _answer(self, ask: Ask) -> None:
        started, facts = monotonic(), TurnFacts(activity="")
        of = {"process_instance_id": ask.instance} if ask.instance else {}
        with structlog.contextvars.bound_contextvars(ask_id=ask.id, **of):
            try:
                async with background.renewing(self._lease, self._renewing(ask), f"ask {ask.id}"):
                    after = await self._turn.take(ask, facts)
                    noted = await self._noted(ask, after)
            except asyncio.CancelledError:
                await self._hand_on(ask)
                raise
            except Exception as exc:  # noqa: BLE001 - its lease runs out, which counts as a death
                log.error(Event.TURN_CRASHED, trace=trace(exc))
                return
            _tell(ask, facts, after, monotonic() - started)
            # Not before: who has the ask next finds its answer there.
            if noted and isinstance(after, Settled) and after.answer is not None:
                await self._turn.close(ask)

    def _renewing(self, ask: Ask) -> Callable[[], Any]:
        async def renew() -> bool:
            try:
                return await self._asks.renew(ask, self._lease)
            except TranscriptDown:
                return True  # nobody can tell: the lease may still run

        return renew

    async def _noted(self, ask: Ask, after: After) -> bool:
        """Say what came of an ask; False if that could not be said for some time, or the ask is another one's."""
        gives_up_at, tries = monotonic() + SETTLING_SECONDS, 0
        while True:
            try:
                match after:
                    case Later():
                        return await self._asks.postpone(ask, after.pause, begun=after.begun)
                    case Settled():
                        return await self._asks.settle(ask, after.state, after.failure, after.answer)
            except TranscriptDown:
                if monotonic() >= gives_up_at:
                    return False
                await asyncio.sleep(growing(LOOK_SECONDS, tries, LONGEST_PAUSE_SECONDS))
                tries += 1

    async def _hand_on(self, ask: Ask) -> None:
        """Have another worker take it at once; its turn has let go of the thread."""
        with suppress(TimeoutError, TranscriptDown, StoreDown):
            async with asyncio.timeout(LAST_WORD_SECONDS):
                await self._asks.postpone(ask, timedelta(0))


def _tell(ask: Ask, facts: TurnFacts, after: After, seconds: float) -> None:
    """Write the one line of an ask's turn, and count it. One that only waits for its thread says nothing."""
    state = after.state.value if isinstance(after, Settled) else "later"
    metrics.ASKS.labels(state).inc()
    if after == BUSY:
        return
    answer = facts.answer
    line = {
        "state": state,
        "reason": (after.failure if isinstance(after, Settled) else after.reason) or None,
        "assistant": facts.assistant,
        "version": facts.version,
        "on": "branch" if ask.target.is_branch else "thread" if ask.target.person is None else "chat",
        "calls": facts.calls or None,
        "thread_id": facts.thread.id if facts.thread else None,
        "generation": facts.thread.generation if facts.thread else None,
        "use": facts.use if facts.thread else None,
        "seeded": facts.seed.turns or None,
        "recovered": facts.recovered,
        "deaths": ask.deaths or None,
        "outcome": answer.outcome.value if answer else None,
        "input_tokens": answer.input_tokens if answer else None,
        "output_tokens": answer.output_tokens if answer else None,
        "seconds": round(seconds, 3),
    }
    log.info(Event.ASK, **{name: value for name, value in line.items() if value is not None})
