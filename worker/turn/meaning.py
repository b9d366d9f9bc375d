"""Has facts and questions embedded, so that what is recalled goes by what they mean as well. Never needed."""

import asyncio
import random
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Self

import structlog

from worker.domain.stops import Work
from worker.errors import BadRequest, SinkDown, WorkerError
from worker.ports.memory import Embedder, Vectors
from worker.runtime.beside import beside
from worker.runtime.breaker import Breaker, BreakerOpen
from worker.runtime.lately import Lately
from worker.runtime.pauses import growing
from worker.telemetry import metrics
from worker.telemetry.logs import Event, trace
from worker.turn.stops import Stopped

AT_ONCE: Final = 32
"""Facts of one request."""
ROUND_SECONDS: Final = 20.0
"""Between two looks for facts that nobody has embedded yet; until then they are found by their words."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 300.0
QUESTION_SECONDS: Final = 0.15
"""So long a turn waits for its question: the rest of what it has is for reading. What comes later is for the next."""
MOST_ASKED: Final = 20
"""Questions that are being embedded."""
MOST_KNOWN: Final = 1000
"""Questions whose numbers are kept, some kilobytes each: many tasks ask the same one again and again."""

log = structlog.get_logger()


class Meaning:
    """Embeds facts inside of its block, and questions for turns. `redacted` takes out of these what must not go there.

    Facts are redacted already.
    """

    def __init__(
        self, embedder: Embedder, vectors: Vectors, redacted: Callable[[str], str], stopped: Stopped | None = None
    ) -> None:
        self._embedder = embedder
        self._vectors = vectors
        self._redacted = redacted
        self._stopped = stopped
        self._breaker = Breaker()
        self._known = Lately[Sequence[float]](MOST_KNOWN)
        self._asking: dict[str, asyncio.Task[Sequence[float] | None]] = {}
        self._said = ""
        self._running: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        """Begin."""
        self._running = asyncio.create_task(self._run(), name="embed facts")
        return self

    async def __aexit__(self, *_: object) -> None:
        """End; what is not done is another worker's."""
        tasks = {self._running, *self._asking.values()}
        for each in tasks:
            each.cancel()
        await asyncio.wait(tasks)

    async def of(self, question: str) -> Sequence[float] | None:
        """Return what a question means; None where that is not known in time. Never raises."""
        if not self._vectors.is_ready or not question.strip():
            return None
        if (known := self._known.get(question)) is not None:
            return known
        if question not in self._asking:
            if len(self._asking) >= MOST_ASKED:
                return None
            asking = asyncio.create_task(self._ask(question), name="embed question")
            self._asking[question] = asking
            asking.add_done_callback(lambda _: self._asking.pop(question, None))
        done, _ = await asyncio.wait({self._asking[question]}, timeout=QUESTION_SECONDS)
        return next((each.result() for each in done if not each.cancelled()), None)

    async def _ask(self, question: str) -> Sequence[float] | None:
        try:
            first = self._breaker.enter()
        except BreakerOpen:
            return None
        try:
            [found] = await self._embed([await beside(self._redacted, question)])
        except Exception as exc:  # noqa: BLE001 - a question is looked for by its words then
            self._breaker.failed(first=first)
            self._tell(exc)
            return None
        except BaseException:
            self._breaker.left(first=first)
            raise
        self._breaker.answered(first=first)
        return self._known.keep(question, array("f", found))

    async def _run(self) -> None:
        tries = 0
        while True:
            try:
                await self.drain()
                tries = 0
                await asyncio.sleep(ROUND_SECONDS * random.uniform(0.5, 1))  # noqa: S311 - spreads looks
            except Exception as exc:  # noqa: BLE001 - facts are found by their words meanwhile
                self._tell(exc)
                await asyncio.sleep(growing(FIRST_PAUSE_SECONDS, tries, LONGEST_PAUSE_SECONDS))
                tries += 1

    async def drain(self) -> None:
        """Embed all facts that nobody has embedded yet. Raises what tells why that cannot be."""
        while await self._vectors.ready():
            self._check()
            if not (texts := await self._vectors.claim(AT_ONCE)):
                return
            await self._keep(texts)
            self._said = ""

    async def _keep(self, texts: Mapping[str, str]) -> None:
        try:
            found = await self._embed(list(texts.values()))
        except BadRequest as exc:
            if len(texts) == 1:
                [fact] = texts
                self._tell(exc)
                await self._vectors.aside(fact)
                return
            # At least one is refused: one by one each tells whether it is that.
            for fact, text in texts.items():
                await self._keep({fact: text})
            return
        await self._vectors.keep(dict(zip(texts, found, strict=True)))

    async def _embed(self, texts: Sequence[str]) -> list[Sequence[float]]:
        self._check()
        try:
            found = await self._embedder.embed(texts)
        except Exception:
            metrics.EMBEDDED.labels("failed").inc(len(texts))
            raise
        metrics.EMBEDDED.labels("embedded").inc(len(texts))
        return found

    def _check(self) -> None:
        if self._stopped is not None:
            self._stopped.check(Work("", None, "", self._embedder.provider))

    def _tell(self, exc: Exception) -> None:
        if isinstance(exc, SinkDown):
            return  # the recorder says so
        reason = str(exc) if isinstance(exc, WorkerError) else trace(exc)
        if type(exc).__name__ != self._said:
            self._said = type(exc).__name__
            log.warning(Event.NOT_EMBEDDED, reason=reason)
