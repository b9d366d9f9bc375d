"""Carries to the memory what exchanges have left for it, subject by subject in order, apart from all turns."""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Self

import structlog

from worker.domain.memory import Memo, Waiting
from worker.errors import MemoryDown, MemoryRefused, NotRedacted, SinkDown
from worker.ports.memory import Memory, Memos
from worker.runtime.beside import beside
from worker.runtime.clock import monotonic
from worker.runtime.pauses import growing
from worker.telemetry import metrics
from worker.telemetry.logs import Event, trace
from worker.turn.recalling import LONGEST_ASKED, SPARE

AT_ONCE = 20
ROUND_SECONDS = 2.0
"""Between two looks at what there is to remember."""
COUNTED_SECONDS = 15.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
ASIDE_FOR = timedelta(hours=1)
"""What is refused, or cannot be redacted, lets the others of its subject go first, and is tried again then."""
AGAIN_AFTER = timedelta(minutes=1)
"""What failed while the memory can be used is tried so often for an hour; then the others of its subject go first."""
KNOWN_FAILING = 10_000
"""Of which it is known since when: those that other workers have seen through meanwhile are among them."""
LONGEST_SAID = 50_000
"""Characters of a question or an answer that are remembered: redaction reads them all."""
LAST_SECONDS = 2.0

log = structlog.get_logger()


class Rememberer:
    """Remembers inside of its block, and once at the end. `redacted` takes out what must not be remembered.

    What is remembered may come to the memory twice, if a worker dies in between, and never not at all.
    """

    def __init__(self, memory: Memory, memos: Memos, redacted: Callable[[str], str]) -> None:
        self._failing: dict[int, float] = {}
        self._memory = memory
        self._memos = memos
        self._redacted = redacted
        self._state = "unknown"
        self._running: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        """Begin."""
        self._running = asyncio.create_task(self._run(), name=f"remember by {self._memory.name}")
        return self

    async def __aexit__(self, *_: object) -> None:
        """End, and remember what came last if that takes no time; otherwise another worker will."""
        self._running.cancel()
        await asyncio.wait({self._running})
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                await self._survives()

    async def _run(self) -> None:
        tries, counted = 0, 0.0
        loop = asyncio.get_running_loop()
        while True:
            if counted <= loop.time():
                counted = loop.time() + COUNTED_SECONDS
                await self._measure()
            if await self._survives():
                tries = 0
                await asyncio.sleep(ROUND_SECONDS * random.uniform(0.5, 1))  # noqa: S311 - spreads looks
            else:
                await asyncio.sleep(growing(FIRST_PAUSE_SECONDS, tries, LONGEST_PAUSE_SECONDS))
                tries += 1

    async def _measure(self) -> None:
        with suppress(SinkDown):
            backlog = await self._memos.backlog()
            for state, count in (("waiting", backlog.waiting), ("late", backlog.late), ("proposed", backlog.proposed)):
                metrics.UNREMEMBERED.labels(state).set(count)

    async def _survives(self) -> bool:
        try:
            return await self.drain()
        except Exception as exc:  # noqa: BLE001 - nothing is lost meanwhile
            log.error(Event.MEMORY_CRASHED, trace=trace(exc))
            return False

    async def drain(self) -> bool:
        """Remember what is due now. False if that cannot be: then nothing is claimed that could not be remembered.

        What is only to be proposed is so all the same: the memory is not given it before a person has approved it.
        """
        try:
            if await self._is_up():
                return True
            await self._all(only_proposed=True)
        except SinkDown:
            pass  # the recorder says so
        return False

    async def _is_up(self) -> bool:
        try:
            if self._state != "up":
                await self._memos.backlog()  # first: it brings tables up to date, which an embedded memory reads
                await self._memory.check()
                if self._state == "down":
                    log.info(Event.MEMORY_UP)
                self._state = "up"
            await self._all()
        except (MemoryDown, MemoryRefused) as exc:
            metrics.REMEMBERED.labels("delayed").inc()
            if self._state != "down":
                self._state = "down"
                log.warning(Event.MEMORY_DOWN, reason=str(exc))
            await self._memos.delay(str(exc))
            return False
        return True

    async def _all(self, *, only_proposed: bool = False) -> None:
        while claimed := await self._memos.claim(AT_ONCE, only_proposed=only_proposed):
            done = await asyncio.gather(*map(self._one, claimed), return_exceptions=True)
            for failed in (each for each in done if isinstance(each, BaseException)):
                raise failed

    async def _one(self, waiting: Waiting) -> None:
        """Remember one. Raises MemoryDown, or MemoryRefused if it is not this one that is refused."""
        try:
            question, answer = await beside(self._both, waiting)
            if not waiting.approve:
                await self._memory.remember(_memo(waiting, question, answer))
            # What was forgotten while it was on its way is looked for once more by the order to forget it: the memory
            # can take away no more than all that an instance has left, of which the rest may stay.
            settled = await self._memos.settle(waiting, question, answer)
        except MemoryDown as exc:
            # Only a probe makes an outage of it: what fails always is its own trouble, and its subject's for a while.
            await self._check_all(waiting)
            if len(self._failing) > KNOWN_FAILING:
                self._failing.clear()
            if monotonic() - self._failing.setdefault(waiting.number, monotonic()) > ASIDE_FOR.total_seconds():
                del self._failing[waiting.number]
                await self._aside(waiting, exc)
            else:
                metrics.REMEMBERED.labels("delayed").inc()
                await self._memos.postpone(waiting, AGAIN_AFTER, why=str(exc))
        except (SinkDown, asyncio.CancelledError):
            raise
        except Exception as exc:  # noqa: BLE001 - whatever it is, it may be the trouble of this one alone
            if isinstance(exc, MemoryRefused):
                await self._check_all(waiting)
            await self._aside(waiting, exc)
        else:
            self._failing.pop(waiting.number, None)
            metrics.REMEMBERED.labels(
                "dropped" if settled == "gone" else "proposed" if waiting.approve else "remembered"
            ).inc()

    def _both(self, waiting: Waiting) -> tuple[str, str]:
        # A person has approved what is redacted already; once more it stays the same.
        # Cut behind it once more: what is cut in two is not known for what it is.
        question = self._redacted(waiting.question[: LONGEST_ASKED + SPARE])
        answer = self._redacted(waiting.answer[: LONGEST_SAID + SPARE])
        return question[:LONGEST_ASKED], answer[:LONGEST_SAID]

    async def _check_all(self, waiting: Waiting) -> None:
        """Raise MemoryDown or MemoryRefused if everything is refused; then nothing steps aside."""
        try:
            await self._memory.check()
        except (MemoryDown, MemoryRefused):
            await self._memos.postpone(waiting, timedelta(0))
            raise

    async def _aside(self, waiting: Waiting, exc: Exception) -> None:
        reason = str(exc) if isinstance(exc, MemoryRefused | NotRedacted) else trace(exc)
        metrics.REMEMBERED.labels("unredacted" if isinstance(exc, NotRedacted) else "refused").inc()
        log.error(Event.MEMO_LATE, ref=waiting.ref, process_instance_id=waiting.instance, reason=reason)
        await self._memos.postpone(waiting, ASIDE_FOR, late=True, why=reason)


def _memo(of: Waiting, question: str, answer: str) -> Memo:
    return Memo(of.subject, of.place, of.instance, of.ref, of.assistant, question, answer, of.at)
