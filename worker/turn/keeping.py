"""Keeps an answer: in the journal, and with it what the sinks, the thread's history and the budgets are to have."""

import asyncio
from collections.abc import Awaitable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta

import structlog

from worker.domain.exchanges import Exchange, Utterance, digest
from worker.domain.memory import ToRemember
from worker.domain.threads import SAFE_BYTES_PER_TOKEN, Answer, Entered, Outcome, Remembered, size
from worker.errors import StoreDown
from worker.ports.providers import ThreadProvider
from worker.runtime import background
from worker.runtime.beside import beside
from worker.runtime.clock import monotonic
from worker.runtime.pauses import growing
from worker.runtime.version import VERSION
from worker.telemetry.logs import Event
from worker.turn.charging import Bill
from worker.turn.cost import priced
from worker.turn.facts import APART, TurnFacts
from worker.turn.request import Ground, Request

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 5.0
"""Between two tries to keep an answer that only Redis can make the thread know of."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Keeping:
    """Keeps the answer of one attempt."""

    ground: Ground
    provider: ThreadProvider
    request: Request
    entry: Entered
    facts: TurnFacts
    bill: Bill

    async def keep(self, answer: Answer, *, published: bool) -> Answer:
        """Journal the answer. Without Redis it is completed all the same: the engine is the better journal.

        Not where Redis is what the thread knows it by: nothing is completed that the next step has no idea of.
        """
        if answer.thread is not None:
            seen = await self.provider.seen(answer.thread)
            answer = answer if seen is answer.thread else replace(answer, thread=seen)
        # Here and never again: whoever reads the answer later finds the price of this day, whatever the files say then.
        answer = priced(answer, self.request.assistant, self.ground.prices)
        exchange = None
        if self.ground.recording is not None:
            exchange = replace(self._exchange(answer), remember=await self._remember(answer))
        remembered = None if self.provider.remembers else self.request.remembered(answer)
        try:
            with self.facts.phase("answer"):
                kept = await self._corrected(
                    answer, self._journalled(answer, exchange, remembered, published=published)
                )
        except StoreDown as exc:
            log.error(Event.JOURNAL_NOT_WRITTEN, reason=str(exc))
            if remembered is not None:
                raise
            if self.ground.recording is not None and exchange is not None:
                self.ground.recording.keep(exchange)
            return answer
        if self.ground.recording is not None:
            self.ground.recording.wake()
        if answer.thread is not None and not self.provider.remembers:
            # It may call the model once more. The answer is safe and the hold is free, so that nobody waits for that.
            tidying = self.provider.tidy(self.request.key, answer.thread, self.request.assistant, self.bill)
            self.ground.later(tidying, f"tidy {answer.thread.id}")
        return kept

    async def _remember(self, answer: Answer) -> ToRemember | None:
        """Say of whom an answer is to be remembered; of nobody where it is none that the task can take."""
        request = self.request
        if request.remember is None or answer.outcome is not Outcome.OK:
            return None
        if request.fits is not None and not await beside(request.fits, answer):
            return None
        return replace(request.remember, generation=self._generation(request.remember))

    def _generation(self, remember: ToRemember) -> int | None:
        """Say by which generation of its subject the question was put whose answer this is.

        What is found may have been asked before the subject was forgotten, though it was recorded only now.
        """
        if self.facts.recovered and self.entry.asked is not None:
            return self.entry.asked.generation
        asked_here = self.facts.calls > self.entry.calls
        return remember.generation if asked_here or not self.facts.recovered else 0

    def _grown_to(self, answer: Answer) -> int | None:
        """Say how many tokens the thread has now: by the provider's count, else by what was thought to be read."""
        if answer.took is not None or not self.facts.reads:
            return answer.took
        return self.facts.reads + size(answer.text) // SAFE_BYTES_PER_TOKEN

    async def _corrected(self, answer: Answer, keeping: Awaitable[Answer]) -> Answer:
        """Correct beside this what the answer's call was charged for."""
        if not self.bill.counts:
            return await keeping
        # Budgets are in other slots than the journal: if one of the two is lost, the call stays charged in full.
        correcting = self.bill.correct(self._charged_call(), answer)
        async with background.running(correcting, f"budgets for {self.request.id}") as corrected:
            kept = await keeping
            await corrected
            return kept

    def _charged_call(self) -> str:
        """Name the call that brought the answer: ours, or an earlier one that this turn has found."""
        if not self.facts.recovered:
            return self.entry.hold.token
        return self.entry.asked.call if self.entry.asked else ""

    async def _journalled(
        self, answer: Answer, exchange: Exchange | None, remembered: Remembered | None, *, published: bool
    ) -> Answer:
        """Keep the answer; where a history is to have it, try for as long as trouble may last. Raises StoreDown."""
        # The hold may run out meanwhile: an answer is kept without it as well.
        hold, attempt = self.entry.hold, self.entry.attempt
        patience = self.ground.rules.trouble_limit.total_seconds() if remembered else 0.0
        gives_up_at, tries = monotonic() + patience, 0
        while True:
            try:
                return await self.ground.threads.keep_answer(
                    hold,
                    attempt,
                    answer,
                    published=published,
                    exchange=exchange,
                    remembered=remembered,
                    tokens=self._grown_to(answer),
                    person=self.request.person or "",
                )
            except StoreDown as exc:
                if monotonic() >= gives_up_at:
                    raise
                self.ground.store_down(exc)
                await asyncio.sleep(growing(FIRST_PAUSE_SECONDS, tries, LONGEST_PAUSE_SECONDS))
                tries += 1

    def _exchange(self, answer: Answer) -> Exchange:
        """Say what the transcript is to have of this. The times are for the case that Redis does not set its own."""
        now, seconds = datetime.now(UTC), self.facts.seconds.get("model")
        assistant = self.request.assistant
        thread = None if answer.weighed else answer.thread
        return Exchange(
            **asdict(self.request.place),
            key=self.request.key,
            task_id=self.request.id,
            attempt=self.entry.attempt,
            assistant_version=assistant.version,
            thread_id=thread.id if thread else None,
            generation=thread.generation if thread else None,
            anchor=thread.anchor if thread else None,
            provider=answer.thread.provider if answer.thread else assistant.provider,
            untold=answer.untold,
            heard=sum(self.facts.heard.values()),
            cuts=self.facts.cuts,
            memory=None if self.facts.memory == "whole" else self.facts.memory,
            recalled=self.request.recalled,
            instructions=digest(assistant.instructions),
            output_schema=None if assistant.output_schema is None else digest(assistant.output_schema),
            worker=VERSION,
            messages=(Utterance(self.request.text, "user", self.request.person), Utterance(answer.text, "assistant")),
            outcome=answer.outcome,
            detail=answer.detail,
            response_id=answer.response_id,
            model=answer.model,
            input_tokens=answer.input_tokens,
            output_tokens=answer.output_tokens,
            cached_tokens=answer.cached_tokens,
            cache_write_tokens=answer.cache_write_tokens,
            reasoning_tokens=answer.reasoning_tokens,
            cost=answer.cost,
            use=APART if answer.weighed else self.facts.use,
            recovered=self.facts.recovered,
            repaired=bool(self.entry.repair),
            seconds=seconds,
            asked_at=now - timedelta(seconds=seconds or 0),
            answered_at=now,
        )
