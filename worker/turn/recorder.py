"""Carries exchanges from the outbox to each sink, apart from all turns: one that is down delays nobody."""

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Literal, Self

import structlog

from worker.domain.exchanges import TRANSCRIPT, Exchange, Pending
from worker.errors import NewerRecord, SinkDown, StoreDown, Unstorable
from worker.ports.sinks import Outbox, Sink
from worker.runtime.clock import monotonic
from worker.runtime.pauses import growing
from worker.telemetry import metrics
from worker.telemetry.logs import Event, trace

AT_ONCE = 50
ROUND_SECONDS = 5.0
"""Between two looks at what other workers may have left."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
UNSTORABLE_FOR = timedelta(hours=1)
"""An exchange that a sink refuses may be taken by its next version; until then it is out of the way."""
NEWER_FOR = timedelta(minutes=1)
"""What only a newer worker can read is out of our way for so long, and soon due for that one."""
LAST_SECONDS = 2.0
KEPT = 1000
"""Exchanges in memory at most, for each sink: those whose answers came while Redis was away."""
KEPT_FOR = timedelta(days=7)
"""As long as Redis would keep them. After that nobody knows any more what was erased meanwhile."""

log = structlog.get_logger()


class Recorder:
    """Implements `ports.sinks.Recording`. Inside of its block each sink is supplied by itself, and once at the end."""

    def __init__(self, outbox: Outbox, sinks: Sequence[Sink]) -> None:
        self._carriers = [Carrier(outbox, sink) for sink in sinks]

    async def __aenter__(self) -> Self:
        """Begin."""
        for carrier in self._carriers:
            carrier.begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End, and carry over what came last if that takes no time; otherwise another worker will."""
        await asyncio.gather(*(carrier.end() for carrier in self._carriers))

    def wake(self) -> None:
        """See `ports.sinks.Recording.wake`."""
        for carrier in self._carriers:
            carrier.wake()

    def keep(self, exchange: Exchange) -> None:
        """See `ports.sinks.Recording.keep`. It lives in memory only until Redis can be told of it."""
        for carrier in self._carriers:
            carrier.keep(exchange)


class Carrier:
    """Supplies one sink."""

    def __init__(self, outbox: Outbox, sink: Sink) -> None:
        self._outbox = outbox
        self._sink = sink
        self._woken = asyncio.Event()
        self._kept: deque[tuple[Exchange, float]] = deque()
        self._state: Literal["unknown", "up", "down"] = "unknown"
        self._draining: asyncio.Task[None]

    def begin(self) -> None:
        """Drain the outbox again and again."""
        self._draining = asyncio.create_task(self._run(), name=f"record to the {self._sink.name}")

    async def end(self) -> None:
        """Drain it once more, for a moment at most."""
        # What it had claimed is due again by itself, and written twice it is the same.
        self._draining.cancel()
        await asyncio.wait({self._draining})
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                await self._survives()

    def wake(self) -> None:
        """Look at once: there is something."""
        self._woken.set()

    def keep(self, exchange: Exchange) -> None:
        """Take an exchange into memory."""
        if len(self._kept) == KEPT:
            self._drop_first()
        self._kept.append((exchange, monotonic()))
        self.wake()

    def _drop_first(self) -> None:
        dropped, _ = self._kept.popleft()
        self._count("dropped")
        log.error(Event.EXCHANGE_DROPPED, sink=self._sink.name, task_id=dropped.task_id, attempt=dropped.attempt)

    async def _run(self) -> None:
        tries = 0
        while True:
            # Before the look: what comes while that goes on is looked for once more.
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
            log.error(Event.RECORDER_CRASHED, sink=self._sink.name, trace=trace(exc))
            return False

    async def drain(self) -> bool:
        """Carry over what is due now. False if the sink or Redis cannot be used.

        One that was not used yet, or was down, is tried first: whoever runs the worker hears of trouble when it starts,
        not with the first answer, and nothing is claimed meanwhile that could not be written.
        """
        try:
            await self._hand_in()
            await self._measure()  # also while the sink is away
            if self._state != "up":
                await self._sink.ping()
            early = list[Pending]()
            while pending := deque(await self._outbox.claim(self._sink.name, AT_ONCE)):
                early += await self._record_all(pending)
            for each in early:  # behind the last look, which would find them once more
                await self._outbox.postpone(each, timedelta(0))
            await self._measure()
        except SinkDown as exc:
            self._tell_down(str(exc))
            return False
        except StoreDown as exc:
            self._tell_down(f"what is to be written cannot be read: {exc}")
            return False
        if self._state == "down":
            if self._sink.name == TRANSCRIPT:
                log.info(Event.TRANSCRIPT_UP)
            else:
                log.info(Event.SINK_UP, sink=self._sink.name)
        self._state = "up"
        return True

    async def _measure(self) -> None:
        metrics.UNRECORDED.labels(self._sink.name).set(await self._outbox.backlog(self._sink.name))

    async def _hand_in(self) -> None:
        """Give Redis what it could not take. Only there it can be told what was erased meanwhile."""
        while self._kept:
            exchange, came_at = first = self._kept[0]
            age = timedelta(seconds=monotonic() - came_at)
            if age > KEPT_FOR:
                self._drop_first()
                continue
            try:
                await self._outbox.hand_in(self._sink.name, exchange, age)
            except NewerRecord as exc:
                self._tell_unstorable(exchange, str(exc))
            # It stays until then: what is broken off, as by the end, may not have happened. Nor has it to be the first
            # any more, as the oldest go where there are too many.
            if self._kept and self._kept[0] is first:
                self._kept.popleft()

    async def _record_all(self, claimed: deque[Pending]) -> list[Pending]:
        """Record in order, and return those of which more is being written in this moment.

        Where the sink goes away, what is left is due for anybody at once.
        """
        early = list[Pending]()
        try:
            if (
                await self._refusal(*[each for pending in claimed for _, each in sorted(pending.exchanges.items())])
                is None
            ):
                whole = [self._settle(each, frozenset(each.exchanges)) for each in claimed]
                return [each for each, done in zip(claimed, await asyncio.gather(*whole), strict=True) if not done]
            # At least one is refused: one by one each tells whether it is that.
            while claimed:
                due = sorted(claimed[0].exchanges.items())
                recorded = frozenset([attempt for attempt, exchange in due if await self._write(exchange)])
                if not await self._settle(claimed[0], recorded):
                    early.append(claimed[0])
                claimed.popleft()
        except SinkDown:
            for each in claimed:
                await self._outbox.postpone(each, timedelta(0))
            raise
        return early

    async def _settle(self, pending: Pending, recorded: frozenset[int]) -> bool:
        """Settle it; False if more of it is being written in this moment."""
        is_whole = await self._outbox.settle(pending, recorded)
        if len(recorded) < len(pending.exchanges):
            await self._outbox.postpone(pending, UNSTORABLE_FOR)
        elif pending.newer:
            await self._outbox.postpone(pending, NEWER_FOR)
        else:
            return is_whole
        return True

    async def _write(self, exchange: Exchange) -> bool:
        """Record one; False if it will not be taken, which concerns no other."""
        exc = await self._refusal(exchange)
        if exc is None:
            return True
        self._tell_unstorable(exchange, str(exc) if isinstance(exc, Unstorable) else trace(exc))
        return False

    def _tell_unstorable(self, exchange: Exchange, reason: str) -> None:
        self._count("unstorable")
        named = {"sink": self._sink.name, "task_id": exchange.task_id, "attempt": exchange.attempt}
        log.error(Event.EXCHANGE_UNSTORABLE, **named, reason=reason)

    async def _refusal(self, *exchanges: Exchange) -> Exception | None:
        """Record them together, which costs much less than one by one; say why if one of them is not taken."""
        try:
            if exchanges:
                await self._sink.record(*exchanges)
        except SinkDown:
            raise
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is the trouble of one of these alone
            return exc
        for _ in exchanges:
            self._count("recorded")
        return None

    def _tell_down(self, reason: str) -> None:
        self._count("delayed")
        if self._state != "down":
            self._state = "down"
            if self._sink.name == TRANSCRIPT:
                log.warning(Event.TRANSCRIPT_DOWN, reason=reason)
            else:
                log.warning(Event.SINK_DOWN, sink=self._sink.name, reason=reason)

    def _count(self, result: str) -> None:
        metrics.EXCHANGES.labels(self._sink.name, result).inc()
