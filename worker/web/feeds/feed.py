"""One reader's feed: what is new for it whenever there may be something, in the order in which it can be read."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime

from worker.domain.conversations import AsksSeen, Limits, Message, MessageFilter, Newest
from worker.domain.watching import Step
from worker.errors import TranscriptDown
from worker.runtime.pauses import set_within
from worker.web.feeds.events import Event, said
from worker.web.feeds.feeds import Feeds, Topic
from worker.web.feeds.live import Live
from worker.web.feeds.place import Place

BEAT_SECONDS = 15.0
AGAIN_SECONDS = 1.0
"""Before the record is read again that could not be read."""
STOPPING = "The worker stops. Connect again and go on from your place."
GONE = "This was erased."
REVOKED = "Your right to read this has ended."
HIDDEN = "You may not see this any more."


class Feed:
    """Reads one session or instance along, from a place on.

    `allowed` says what its reader may see now, or why it may not read this any more; it is handed what the record has
    of it, which is another mapping whenever that has changed.

    A slow reader holds nobody up, and nothing piles up for it: what is new is read when it has taken what came before.
    """

    def __init__(
        self,
        feeds: Feeds,
        wanted: MessageFilter,
        within: Limits,
        place: Place | None,
        allowed: Callable[[Mapping[str, Newest]], Awaitable[Limits | str]] | None = None,
    ) -> None:
        self._feeds = feeds
        self._wanted = wanted
        self._within = within
        self._place = place
        self._allowed = allowed
        self._lost: set[str] = set()
        """Runs that were told to be lost."""
        self._landed: dict[str, tuple[str, int]] = {}
        """Of each session the task and the attempt whose answer was read last."""
        self._steps: Sequence[Step] | None = None
        self._asked: dict[str, AsksSeen] = {}
        self._ended_at: datetime | None = None

    async def events(self) -> AsyncIterator[Event | None]:
        """Yield what happens, None where nothing has for a while; ends behind the event `closing`."""
        with self._feeds.watching(self._wanted) as (topic, news):
            while True:
                news.clear()
                if (why := await self._over(topic)) is not None:
                    yield Event("closing", {"reason": why})
                    return
                try:
                    self._place = self._place or await self._where_it_is()
                    async for event in self._new(topic, self._place):
                        yield event
                    pause = BEAT_SECONDS
                except TranscriptDown:
                    pause = AGAIN_SECONDS
                if not await set_within(news, pause):
                    yield None

    async def _over(self, topic: Topic) -> str | None:
        if self._feeds.is_closing:
            return STOPPING
        if topic.is_gone:
            return GONE
        if self._allowed is not None:
            allowed = await self._allowed(topic.newest)
            if isinstance(allowed, str):
                return allowed
            self._within = allowed
        return None

    async def _where_it_is(self) -> Place:
        """Find where the record is now."""
        found = await self._feeds.newest(self._wanted)
        return Place({each.session_id: each.number for each in found.get(self._wanted, ())})

    async def _new(self, topic: Topic, place: Place) -> AsyncIterator[Event]:
        """Tell what is new. The record goes first: an answer that it has need not be told in pieces any more."""
        while self._is_behind(topic, place) and (
            some := await self._feeds.unread(self._wanted, place.read, self._within)
        ):
            for number, message in some:
                place.read[message.session_id] = number
                self._land(message, place)
                yield Event("message", said(message), place.dump())
        for session, live in await self._feeds.heard(topic, self._within):
            for event in self._of_live(session, live, place):
                yield event
        steps = self._feeds.steps(topic, self._within)
        if steps is not None and steps != self._steps:
            self._steps = steps
            yield Event("state", {"steps": [asdict(each) for each in steps]})
        changed, hidden = await self._feeds.asked(topic, self._asked, self._within)
        self._asked |= changed  # also what is hidden: it is not looked at again and again
        for session, asked in changed.items():
            if session not in hidden:
                yield Event("asks", {"session_id": session, "queued": asked.queued, "running": asked.running})
        if topic.ended_at != self._ended_at:
            self._ended_at = topic.ended_at
            if self._ended_at is not None:
                yield Event("ended", {"at": self._ended_at.isoformat()})

    def _is_behind(self, topic: Topic, place: Place) -> bool:
        """Whether the record has more. Most that wakes a reader is not of the record, and needs no read of it."""
        return not topic.is_known or any(
            each.number > place.read.get(session, 0)
            for session, each in topic.newest.items()
            if each.is_within(self._within)
        )

    def _land(self, message: Message, place: Place) -> None:
        if not message.is_answer:
            return
        session, answered = message.session_id, (message.task_id, message.attempt)
        self._landed[session] = answered
        run, _ = place.heard.get(session, ("", 0))
        live = self._feeds.live(session)
        # One that is recorded late may be of another task than is heard now.
        if live is None or live.run != run or (live.task_id, live.attempt) == answered:
            place.heard.pop(session, None)

    def _of_live(self, session: str, live: Live, place: Place) -> Iterator[Event]:
        """Tell what was said since this reader heard the last of it."""
        if self._landed.get(session) == (live.task_id, live.attempt):
            return
        who = {"session_id": session, "task_id": live.task_id, "attempt": live.attempt}
        run, offset = place.heard.get(session, ("", 0))
        if run != live.run and live.is_written:
            place.heard[session], offset = (live.run, 0), 0
            if run:
                yield Event("restarted", who, place.dump())
        elif run != live.run:
            if run and live.was_looked_at:  # nobody knows any more what becomes of what was heard
                del place.heard[session]
                yield Event("lost", {"session_id": session}, place.dump())
            return
        if text := live.text[offset:]:
            place.heard[session] = (live.run, len(live.text))
            yield Event("delta", {**who, "offset": offset, "text": text}, place.dump())
        if live.is_lost and live.run not in self._lost:
            self._lost.add(live.run)
            yield Event("lost", who)
