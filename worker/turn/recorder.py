"""Carries exchanges from the outbox to the transcript, apart from all turns: a store that is down delays nobody."""

import asyncio
import random
from collections import deque
from contextlib import suppress
from datetime import timedelta
from typing import Literal, Self

import structlog

from worker.domain.conversations import Exchange, Pending
from worker.errors import StoreDown, TranscriptDown, Unstorable
from worker.ports.transcript import Outbox, TranscriptWriter
from worker.runtime.pauses import growing
from worker.telemetry import metrics
from worker.telemetry.logs import Event, trace

AT_ONCE = 50
ROUND_SECONDS = 5.0
"""Between two looks at what other workers may have left."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
UNSTORABLE_FOR = timedelta(hours=1)
"""An exchange that the store refuses may be taken by its next version; until then it is out of the way."""
NEWER_FOR = timedelta(minutes=1)
"""What only a newer worker can read is out of our way for so long, and soon due for that one."""
LAST_SECONDS = 2.0
KEPT = 1000
"""Exchanges in memory at most: those whose answers came while Redis was away."""

log = structlog.get_logger()


class Recorder:
    """Implements `ports.transcript.Recording`. Inside of its block it drains the outbox, and once at the end."""

    def __init__(self, outbox: Outbox, transcript: TranscriptWriter) -> None:
        self._outbox = outbox
        self._transcript = transcript
        self._woken = asyncio.Event()
        self._kept: deque[Exchange] = deque()
        self._state: Literal["unknown", "up", "down"] = "unknown"
        self._draining: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        """Begin."""
        self._draining = asyncio.create_task(self._run(), name="record")
        return self

    async def __aexit__(self, *_: object) -> None:
        """End, and carry over what came last if that takes no time; otherwise another worker will."""
        self._draining.cancel()
        await asyncio.wait({self._draining})
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                await self._survives()

    def wake(self) -> None:
        """Look at once: there is something."""
        self._woken.set()

    def keep(self, exchange: Exchange) -> None:
        """Take an exchange that Redis could not. It lives in memory only until the transcript has it."""
        if len(self._kept) == KEPT:
            dropped = self._kept.popleft()
            metrics.EXCHANGES.labels("dropped").inc()
            log.error(Event.EXCHANGE_DROPPED, task_id=dropped.task_id, attempt=dropped.attempt)
        self._kept.append(exchange)
        self.wake()

    async def _run(self) -> None:
        tries = 0
        while True:
            self._woken.clear()
            if await self._survives():
                tries = 0
                with suppress(TimeoutError):
                    async with asyncio.timeout(ROUND_SECONDS * random.uniform(0.5, 1)):  # noqa: S311 - spreads looks
                        await self._woken.wait()
            else:
                await asyncio.sleep(growing(FIRST_PAUSE_SECONDS, tries, LONGEST_PAUSE_SECONDS))
                tries += 1

    async def _survives(self) -> bool:
        """Drain, and take an error that nobody foresaw for one that may pass: nothing is lost meanwhile."""
        try:
            return await self.drain()
        except Exception as exc:  # noqa: BLE001 - see above
            log.error(Event.RECORDER_CRASHED, trace=trace(exc))
            return False

    async def drain(self) -> bool:
        """Carry over what is due now. False if the transcript or Redis cannot be used.

        One that was not used yet, or was down, is tried first: whoever runs the worker hears of trouble when it starts,
        not with the first answer, and nothing is claimed meanwhile that could not be written.
        """
        try:
            metrics.UNRECORDED.set(await self._outbox.backlog())  # also while the transcript is away
            if self._state != "up":
                await self._transcript.ping()
            await self._kept_first()
            while pending := deque(await self._outbox.claim(AT_ONCE)):
                await self._record_all(pending)
            metrics.UNRECORDED.set(await self._outbox.backlog())
        except TranscriptDown as exc:
            self._tell_down(str(exc))
            return False
        except StoreDown as exc:
            self._tell_down(f"what is to be written cannot be read: {exc}")
            return False
        if self._state == "down":
            log.info(Event.TRANSCRIPT_UP)
        self._state = "up"
        return True

    async def _kept_first(self) -> None:
        while self._kept:
            exchange = self._kept.popleft()
            try:
                await self._write(exchange)
            except TranscriptDown:
                self._kept.appendleft(exchange)
                raise

    async def _record_all(self, claimed: deque[Pending]) -> None:
        """Record in order; where the transcript goes away, what is left is due for anybody at once."""
        try:
            while claimed:
                await self._record(claimed[0])
                claimed.popleft()
        except TranscriptDown:
            for each in claimed:
                await self._outbox.postpone(each, timedelta(0))
            raise

    async def _record(self, pending: Pending) -> None:
        recorded = set()
        for attempt, exchange in sorted(pending.exchanges.items()):
            if await self._write(exchange):
                recorded.add(attempt)
        await self._outbox.settle(pending, frozenset(recorded))
        if len(recorded) < len(pending.exchanges):
            await self._outbox.postpone(pending, UNSTORABLE_FOR)
        elif pending.newer:
            await self._outbox.postpone(pending, NEWER_FOR)

    async def _write(self, exchange: Exchange) -> bool:
        """Record one; False if it will not be taken, which concerns no other."""
        try:
            await self._transcript.record(exchange)
        except TranscriptDown:
            raise
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is this exchange's trouble alone
            reason = str(exc) if isinstance(exc, Unstorable) else trace(exc)
            metrics.EXCHANGES.labels("unstorable").inc()
            log.error(Event.EXCHANGE_UNSTORABLE, task_id=exchange.task_id, attempt=exchange.attempt, reason=reason)
            return False
        metrics.EXCHANGES.labels("recorded").inc()
        return True

    def _tell_down(self, reason: str) -> None:
        metrics.EXCHANGES.labels("delayed").inc()
        if self._state != "down":
            self._state = "down"
            log.warning(Event.TRANSCRIPT_DOWN, reason=reason)
