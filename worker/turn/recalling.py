"""What a question is shown of the memory: recalled before the hold, for a moment at most, and never needed."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

import structlog

from worker.domain.memory import LONGEST_QUESTION, LONGEST_TEXT, Fact, MemorySubject, MemoryWish, Recalled, ToRemember
from worker.domain.tasks import Activity, Task
from worker.errors import BadDefinition, MemoryDown, MemoryRefused, NotRedacted
from worker.modelling import prompt
from worker.modelling.properties import prompt_parameter
from worker.modelling.subjects import subject_of
from worker.ports.memory import Memory, Recollection, Subjects
from worker.runtime.beside import beside
from worker.runtime.breaker import Breaker, BreakerOpen
from worker.runtime.clock import monotonic
from worker.telemetry import metrics
from worker.telemetry.logs import Event, trace
from worker.turn.meaning import Meaning

DEADLINE_SECONDS = 0.3
"""No turn waits longer for what is remembered."""
REFUSED_PAUSE = timedelta(minutes=5)
"""So long a memory that refuses us is left alone: until somebody changes something."""
LONGEST_ASKED = 4000
"""Characters of what a task asks by which facts are chosen, and that are remembered."""
SPARE = 200
"""Handed on to be redacted, and cut off behind that: what is cut in two is not known for what it is."""
LONGEST_FACT = LONGEST_QUESTION + LONGEST_TEXT + 100
"""Characters: those that we write have no more."""

Why = Literal["late", "down", "refused", "paused", "unredacted"]
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Known:
    """What a turn has of the memory: what its question shows, what is told of that, and what is to be remembered."""

    shown: str = ""
    recalled: Recalled | None = None
    remember: ToRemember | None = None


def _cut(facts: Sequence[Fact]) -> list[Fact]:
    """Bound what a memory says of one exchange: the texts of one that is apart are as long as it likes."""
    return [
        each if len(each.text) <= LONGEST_FACT else replace(each, text=f"{each.text[:LONGEST_FACT]} …")
        for each in facts
    ]


def _asked(task: Task, activity: Activity) -> str:
    with suppress(BadDefinition):  # the turn says that itself, where it has to ask
        return prompt_parameter(task, activity) or activity.documentation
    return activity.documentation


class Recalling:
    """Recalls for turns. `engine` is empty where engines share what is remembered.

    With `meaning` it goes by what questions mean as well, where that is known in time. `redacted` takes out of
    questions what must not go to a memory that is apart. `at_once` is the memory if one look at it tells all, without
    either of the two.
    """

    def __init__(
        self,
        memory: Memory,
        subjects: Subjects,
        engine: str,
        meaning: Meaning | None = None,
        redacted: Callable[[str, float], str] | None = None,
        deadline_seconds: float = DEADLINE_SECONDS,
        at_once: Recollection | None = None,
    ) -> None:
        self._memory = memory
        self._subjects = subjects
        self._engine = engine
        self._meaning = meaning
        self._redacted = redacted
        self._at_once = at_once
        self._deadline = deadline_seconds
        self._words: Mapping[Why, str] = {**_WHY, "late": f"no answer within {deadline_seconds} s"}
        self._breaker = Breaker()

    async def of(self, task: Task, activity: Activity, wish: MemoryWish) -> Known:
        """Say what is known of whom the task is about. Never raises, and takes no longer than the deadline."""
        kind = wish.subject or ""
        asked = _asked(task, activity)[: LONGEST_ASKED + SPARE]
        subject, why = subject_of(kind, task, self._engine)
        if subject is None:
            metrics.RECALLS.labels("no_subject").inc()
            return Known(recalled=Recalled(why=why))
        facts, trouble, generation = list[Fact](), None, None
        if wish.most or wish.remember:
            facts, trouble, generation = await self._recall(subject, asked, wish.most)
        remember = None
        if wish.remember:
            question = f"{activity.title}: {asked}" if activity.title else asked
            remember = ToRemember(subject.digest, kind, question, bool(wish.approve), generation)
        if not wish.most:
            return Known(recalled=Recalled(subject.digest, why="memory.recall is off"), remember=remember)
        ids = tuple(each.id for each in facts)
        metrics.RECALLS.labels("recalled" if facts else trouble or "nothing").inc()
        shown = prompt.remembered(facts) if facts else ""
        said = self._words[trouble] if trouble else ("" if facts else "nothing is known")
        return Known(shown, Recalled(subject.digest, ids, said), remember)

    async def _recall(self, subject: MemorySubject, asked: str, most: int) -> tuple[list[Fact], Why | None, int | None]:
        """Return what is known, why there is nothing, and the subject's generation; None where nobody could tell."""
        generation, facts = None, list[Fact]()
        found: tuple[list[Fact], Why | None]
        try:
            first = self._breaker.enter()
        except BreakerOpen:
            return [], "paused", None
        began = monotonic()
        try:
            async with asyncio.timeout(self._deadline):
                if most and self._at_once is not None:
                    generation, facts = await self._at_once.recollect(subject, asked[:LONGEST_ASKED], most)
                if generation is None:
                    known = await self._subjects.known(subject)
                    generation = 0 if known is None else known.generation
                    if known is not None and most and self._at_once is None:
                        facts = await self._known(known, asked, most)
                facts = _cut(facts)[:most]
        except Exception as exc:  # noqa: BLE001 - whatever it is, no turn fails for it
            found = [], self._missed(exc, first=first)
        except BaseException:  # broken off
            self._breaker.left(first=first)
            raise
        else:
            found = facts, None
            if self._breaker.answered(first=first):
                log.info(Event.MEMORY_UP)
        finally:
            metrics.RECALL_SECONDS.observe(monotonic() - began)
        return *found, generation

    async def _known(self, subject: MemorySubject, asked: str, most: int) -> list[Fact]:
        meaning = None if self._meaning is None else await self._meaning.of(asked)
        return await self._memory.recall(subject, await self._plain(asked), most, meaning=meaning)

    async def _plain(self, asked: str) -> str:
        """Return a question as the memory may read it. Raises NotRedacted where that is not known in time."""
        if self._redacted is None:
            return asked[:LONGEST_ASKED]
        seconds = self._deadline / 2  # the rest is for the memory
        try:
            async with asyncio.timeout(seconds):
                # Of its thread, too: nobody else may wait for one that goes on.
                return (await beside(self._redacted, asked, seconds))[:LONGEST_ASKED]
        except NotRedacted:
            raise
        except TimeoutError:
            raise NotRedacted("to redact the question takes too long") from None
        except Exception as exc:  # of a pattern of others: it is not sent, and the memory is not what failed
            log.error(Event.MEMORY_CRASHED, trace=trace(exc))
            raise NotRedacted("an unforeseen error") from exc

    def _missed(self, error: Exception, *, first: bool) -> Why:
        why: Why = "down"
        reason, pause = str(error), None
        match error:
            case NotRedacted():
                self._breaker.left(first=first)  # the memory was not asked
                return "unredacted"
            case TimeoutError():
                why, reason = "late", self._words["late"]
            case MemoryRefused():
                why, pause = "refused", REFUSED_PAUSE
            case MemoryDown():
                pass
            case _:
                log.error(Event.MEMORY_CRASHED, trace=trace(error))
                reason = "an unforeseen error"
        if self._breaker.failed(pause, first=first):
            log.warning(Event.MEMORY_DOWN, reason=reason)
        return why


NOTHING = Known()
NO_MEMORY = Known(recalled=Recalled(why="MEMORY is off"))
_WHY: dict[Why, str] = {
    "down": "the memory cannot be reached",
    "refused": "the memory refuses us",
    "unredacted": "the question could not be redacted",
    "paused": "the memory was away, and is left alone for a while",
}
