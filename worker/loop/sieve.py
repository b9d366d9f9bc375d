"""Leaves out of the polls what the engine refuses to hand over, so that one task never stops all others.

A refusal does not say which task it is about, and that task is among the first in every poll from then on. While the
probe succeeds it is no outage either. So what was asked for is asked for in halves, down to one definition on one
topic, which is left out, named, and looked at again after a growing pause.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from worker.domain.tasks import LeftOut, Task, Topic
from worker.errors import EngineDenied, Refused, WorkerError
from worker.ports.engine import Engine, Topics
from worker.runtime.clock import monotonic
from worker.runtime.pauses import growing
from worker.telemetry import metrics
from worker.telemetry.logs import Event

FIRST_PAUSE = timedelta(seconds=15)
LONGEST_PAUSE = timedelta(minutes=5)
"""Each new look costs the definition's other tasks a moment under a lock of ours."""
LONGEST_PART_SECONDS = 2.0
"""How long polls of parts wait at most for tasks, where the whole is refused and each part of it passes."""
FAILURES_IN_ROW = 3
"""So many polls without an answer, with a probe that succeeds each time, count as refused: a task may be too large."""

Portion = tuple[Topic, ...]

log = structlog.get_logger()


@dataclass(slots=True)
class Refusal:
    """What is known of a definition on a topic that was refused. `looks` counts how often that was seen."""

    reason: str
    looks: int = 0
    is_out: bool = False
    next_look: float = 0.0

    def leave_out(self, reason: str) -> timedelta:
        """Leave it out, each time for longer; return for how long."""
        pause = min(FIRST_PAUSE * 2.0 ** min(self.looks, 10), LONGEST_PAUSE)
        self.reason, self.is_out = reason, True
        self.looks += 1
        self.next_look = monotonic() + pause.total_seconds()
        return pause


class Sieve:
    """Implements `ports.engine.Topics` by the topics of another, without those that are refused.

    Tell it of each poll of what `current` said: by `passed`, or by `judge`. Between two polls, unlock what the refused
    one has locked: the engine locks first and fails then, and a task under a lock is in nobody's way.
    """

    def __init__(self, engine: Engine, topics: Topics, shown: metrics.Polling = metrics.TURN_POLLING) -> None:
        self._engine = engine
        self._topics = topics
        self._shown = shown
        self._asked: Portion = ()
        self._looking_at: tuple[str, str] | None = None
        self._suspects: deque[Portion] = deque()
        self._refusals: dict[tuple[str, str], Refusal] = {}
        self._by_name: set[str] = set()
        self._found_one = False
        self._in_vain = 0
        self._failures = 0

    async def current(self, *, without_models: bool = False) -> tuple[Topic, ...]:
        """See `ports.engine.Topics.current`; during a search, the part that is looked at.

        `without_models`: only topics whose tasks ask no model.
        """
        topics = wanted = await self._topics.current()
        self._looking_at = None
        if without_models:
            names = await self.without_models()
            wanted = tuple(each for each in topics if each.name in names)
            if any(each.name not in names for part in self._suspects for each in part):
                self._suspects.clear()  # what is refused is met again, and searched for again, with the other topics
        if self._suspects:
            self._asked = self._suspects[0]
        elif again := self._due(topics, wanted):
            self._looking_at, self._asked = again
        else:
            self._asked = tuple([each for topic in wanted if (each := await self._without(topic)) is not None])
        return self._asked

    def next_look(self) -> timedelta:
        """See `ports.engine.Topics.next_look`; during a search polls do not wait, unless it is one of many in vain."""
        if not self._suspects and not self._looking_at:
            return self._topics.next_look()
        return timedelta(seconds=growing(0.1, self._in_vain, LONGEST_PART_SECONDS) if self._in_vain else 0)

    def serves(self, task: Task) -> bool:
        """See `ports.engine.Topics.serves`."""
        return self._topics.serves(task)

    def suspect(self) -> None:
        """See `ports.engine.Topics.suspect`."""
        self._topics.suspect()

    async def definitions(self, topic: str) -> tuple[str, ...]:
        """See `ports.engine.Topics.definitions`."""
        return await self._topics.definitions(topic)

    async def without_models(self) -> frozenset[str]:
        """See `ports.engine.Topics.without_models`."""
        return await self._topics.without_models()

    def left_out(self) -> list[LeftOut]:
        """Name what is not served for now, and why."""
        return [LeftOut(*place, each.reason) for place, each in sorted(self._refusals.items()) if each.is_out]

    def passed(self, tasks: Sequence[Task]) -> None:
        """The poll went well and brought these tasks."""
        if self._suspects:
            self._suspects.popleft()
            self._in_vain += not self._suspects and not self._found_one
        elif self._looking_at:
            self._readmit(self._looking_at, seen=bool(tasks))
        else:
            self._failures = self._in_vain = 0

    async def judge(self, error: WorkerError) -> WorkerError | None:
        """The poll failed: return what makes it an outage, None if it concerns but a part of what was asked for.

        Where each part passes and the whole does not, several workers may have refused each other's polls: what one of
        them asks for in vain is under its lock, so that the others do not meet it. Then it is searched for again.
        """
        self._failures += 1
        # A 401 or a missing right is met by every poll, whatever is asked for.
        if isinstance(error, EngineDenied) or (not isinstance(error, Refused) and self._failures < FAILURES_IN_ROW):
            return error
        try:
            await self._engine.ping()
        except WorkerError as outage:
            return outage
        await self._narrow(str(error))
        return None

    async def _narrow(self, reason: str) -> None:
        if self._looking_at:
            self._leave_out(self._looking_at, reason)
            return
        if self._suspects:
            self._suspects.popleft()
        else:
            self._found_one = False
        halves = await self._halves(self._asked)
        # To the front: one part is searched to its end before the next is looked at.
        self._suspects.extendleft(reversed(halves))
        if not halves:
            [topic] = self._asked
            self._found_one, self._in_vain = True, 0
            self._leave_out((topic.name, topic.definitions[0] if topic.definitions else ""), reason)

    async def _halves(self, asked: Portion) -> list[Portion]:
        """Split by topics, then by definitions; nothing if there is no smaller part."""
        if len(asked) > 1:
            return [asked[: len(asked) // 2], asked[len(asked) // 2 :]]
        [topic] = asked
        if not topic.definitions:
            # From now on by name: what is refused may be of a definition that nobody knows, and is gone by that.
            self._by_name.add(topic.name)
            named = replace(topic, definitions=await self._topics.definitions(topic.name))
            return [(named,)] if named.definitions else []
        middle = len(topic.definitions) // 2
        parts = topic.definitions[:middle], topic.definitions[middle:]
        return [(replace(topic, definitions=part),) for part in parts] if middle else []

    async def _without(self, topic: Topic) -> Topic | None:
        """Take from a topic what is left out; None if nothing stays."""
        out = {definition for (name, definition), each in self._refusals.items() if name == topic.name and each.is_out}
        # It was refused while nobody knew a definition of it, so that the topic as a whole is out.
        if "" in out:
            return None
        definitions = topic.definitions
        if not definitions and topic.name in self._by_name:
            definitions = await self._topics.definitions(topic.name)
        left = tuple(each for each in definitions if each not in out)
        return replace(topic, definitions=left) if left or not out else None

    def _due(self, topics: Portion, wanted: Portion) -> tuple[tuple[str, str], Portion] | None:
        """Pick something wanted, left out, that is to be looked at again; forget what has no topic any more."""
        entries = {topic.name: topic for topic in topics}
        now = monotonic()
        for place, refusal in list(self._refusals.items()):
            name, definition = place
            if name not in entries:
                del self._refusals[place]
                self._count()
            elif refusal.is_out and refusal.next_look <= now and entries[name] in wanted:
                return place, (replace(entries[name], definitions=(definition,) if definition else ()),)
        return None

    def _leave_out(self, place: tuple[str, str], reason: str) -> None:
        pause = self._refusals.setdefault(place, Refusal(reason)).leave_out(reason)
        topic, definition = place
        log.error(
            Event.LEFT_OUT,
            topic=topic,
            definition=definition or "all",
            reason=reason,
            again_in_seconds=pause.total_seconds(),
        )
        self._count()

    def _readmit(self, place: tuple[str, str], *, seen: bool) -> None:
        """Serve it again. Where no task came it may only have been another worker's for a moment: pauses stay long."""
        self._refusals[place].is_out = False
        if seen:
            del self._refusals[place]
        log.info(Event.SERVED_AGAIN, topic=place[0], definition=place[1] or "all")
        self._count()

    def _count(self) -> None:
        self._shown.left_out.set(sum(each.is_out for each in self._refusals.values()))
