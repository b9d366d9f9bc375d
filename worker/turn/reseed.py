"""What a recreated thread is told of its forerunner, out of the transcript."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

import structlog

from worker.domain.conversations import EVERYTHING, REMOVED, Message, MessageFilter, Role, Session, every, session_id
from worker.domain.refs import defused
from worker.domain.threads import (
    BYTES_PER_TOKEN,
    NOTHING,
    OPENAI,
    SAFE_BYTES_PER_TOKEN,
    Cut,
    Said,
    Seed,
    Thread,
    ThreadKey,
    address,
    left_out_note,
    provider_of,
    size_of_all,
)
from worker.errors import HistoryUnread, StoreDown, TranscriptDown
from worker.ports.transcript import TranscriptReader
from worker.runtime.beside import beside
from worker.telemetry.logs import Event
from worker.turn.retelling import FOR_FACTS, is_fact, newest, quoted, size_of

PAGE = 100
MOST_READ = 1000
"""Turns that are looked at for what they settled."""
PATIENCE_SECONDS = 5.0
"""A turn waits no longer for what was said before it: the assistant then does without."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Turn:
    """What was said in one, and the name of the activity that its answer is of; empty if it has none.

    `asked_at` is that activity's id. One that is hidden was said, and is not told any more.
    """

    said: list[Said]
    activity: str
    asked_at: str = ""
    is_hidden: bool = False

    @property
    def size(self) -> int:
        """Count its bytes."""
        return size_of_all(self.said)


def _fitted(told: Iterable[_Turn], older: Iterable[_Turn], room: int) -> tuple[deque[_Turn], dict[str, str]]:
    """Say what the older turns settled, and which of those to be told there is room for beside that.

    Not for the loop: all of them are read.
    """
    told = deque(told)
    known = [fact for each in older for fact in _facts(each)]
    facts = newest(known, FOR_FACTS * room)
    # Each turn that is left out may have settled something, which takes some of the same room.
    while told and sum(each.size for each in told) + sum(map(size_of, facts.items())) > room:
        known += _facts(told.popleft())
        facts = newest(known, FOR_FACTS * room)
    return told, facts


def _facts(turn: _Turn) -> list[tuple[str, str]]:
    answer = turn.said[-1].text
    return [(turn.activity, answer)] if turn.activity and is_fact(answer) else []


def _asked(message: Message) -> Said:
    # As a message of a user it could be taken for a question of ours, should it end like one.
    return Said("user", defused(message.content))


def _seed(told: Iterable[_Turn], facts: Mapping[str, str], left_out: int) -> Seed:
    turns = list(told)
    said = [each for turn in turns for each in turn.said]
    if facts:
        said.insert(0, Said("user", quoted("", facts, left_out)))
    if left_out:
        said.insert(0, left_out_note(left_out))
    return Seed(tuple(said), len(turns), left_out)


class History:
    """Implements `ports.threads.History`. `tokens` is the room for earlier turns, taken for 4 bytes each.

    `is_erased` says of a session whether it is erased or is to be, in spite of what the record still has; it may raise
    TranscriptDown, StoreDown. Of such a one nothing is handed down to another instance.
    """

    def __init__(
        self,
        conversations: TranscriptReader,
        tokens: int,
        is_erased: Callable[[Session], Awaitable[bool]] | None = None,
    ) -> None:
        self._conversations = conversations
        self._room = BYTES_PER_TOKEN * tokens
        self._is_erased = is_erased

    async def seed(self, key: ThreadKey, most: int | None = None, cuts: Sequence[Cut] = ()) -> Seed:
        """See `ports.threads.History.seed`."""
        return await self._in_time(self._read(session_id(key), self._room_for(most), cuts))

    def _room_for(self, most: int | None) -> int:
        return self._room if most is None else min(self._room, SAFE_BYTES_PER_TOKEN * most)

    async def inherited(
        self, keys: Sequence[ThreadKey], activity: str, most: int | None = None, then: Seed = NOTHING
    ) -> Seed:
        """See `ports.threads.History.inherited`."""
        room = max(0, self._room_for(most) - size_of_all(then.said))
        before = await self._in_time(self._read_before([*map(session_id, keys)], then.began_at or activity, room))
        said = before.said + then.said
        is_absent = before.is_absent and not then.turns
        return Seed(said, before.turns + then.turns, before.left_out + then.left_out, before.is_known, is_absent)

    async def _in_time(self, reading: Awaitable[Seed]) -> Seed:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await reading
        except (TranscriptDown, StoreDown, TimeoutError) as exc:
            log.warning(Event.THREAD_NOT_SEEDED, reason=str(exc) or "the transcript takes too long")
            return Seed(is_known=False)

    async def thread(self, key: ThreadKey) -> Thread | None:
        """See `ports.threads.History.thread`."""
        name = session_id(key)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                known = await self._conversations.session(name, within=EVERYTHING)
                if known is None or known.thread_id is None:
                    return None
                stored = await self._conversations.stored(MessageFilter(session_id=name), within=EVERYTHING)
        except (TranscriptDown, TimeoutError) as exc:
            raise HistoryUnread(
                "Redis knows no thread, and the transcript, which TRANSCRIPT_URL names, cannot be asked for one now"
            ) from exc
        places = [provider_of(each) for each in stored.threads]
        provider = next((where for where, thread in reversed(places) if thread == known.thread_id), OPENAI)
        anchor = stored.threads.get(address(provider, known.thread_id))
        return Thread(known.thread_id, known.generation or 1, anchor, provider)

    async def anchor(self, key: ThreadKey, thread: Thread) -> str | None:
        """See `ports.threads.History.anchor`."""
        wanted = MessageFilter(session_id=session_id(key))
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return (await self._conversations.stored(wanted, within=EVERYTHING)).threads.get(thread.address)
        except (TranscriptDown, TimeoutError):
            return None

    async def _read(self, session: str, room: int, cuts: Sequence[Cut]) -> Seed:
        """Read from the newest turn back until the room is used up; a turn is taken whole or not at all.

        Of those behind that it is told what they settled, in a part of the room at most.
        """
        told: deque[_Turn] = deque()
        older: deque[_Turn] = deque()
        left, read, hidden, began_at = room, 0, 0, ""
        async with aclosing(self._newest_first(session, cuts)) as newest_first:
            async for turn in newest_first:
                read += 1
                left -= turn.size
                began_at = turn.asked_at or began_at
                if turn.is_hidden:
                    hidden += 1
                elif left >= 0:
                    told.appendleft(turn)
                elif turn.activity and turn.size < room:  # what is longer has no room as a fact either
                    older.appendleft(turn)
                if read == MOST_READ:
                    break
        told, facts = await beside(_fitted, told, older, room)
        # Counted by the database: here no more than the newest were read.
        answers = await self._conversations.spent("all", MessageFilter(session_id=session), within=EVERYTHING)
        left_out = max(0, sum(each.answers for each in answers.values()) - len(told) - hidden)
        return replace(_seed(told, facts, left_out), began_at=began_at)

    async def _read_before(self, sessions: Sequence[str], activity: str, room: int) -> Seed:
        """Read of each session what comes before the activity that the next one began with, the newest first."""
        told, left_out, is_absent = deque[_Turn](), 0, True
        for session in sessions:
            first = await self._conversations.messages(MessageFilter(session_id=session), within=EVERYTHING, limit=1)
            if first.items and not await self._is_over(session):
                own, room, missed = await self._said_before(session, activity, room)
                told.extendleft(reversed(own))
                left_out += missed
                is_absent = is_absent and first.items[0].content == REMOVED
            activity = first.items[0].activity_id if first.items else activity
        return replace(_seed(told, {}, left_out), is_absent=is_absent and not told)

    async def _said_before(self, session: str, activity: str, room: int) -> tuple[deque[_Turn], int, int]:
        """Return the newest turns before this activity was first asked, the room that is left, how many did not fit."""
        own, free, missed = deque[_Turn](), room, 0
        async with aclosing(self._newest_first(session)) as newest_first:
            async for turn in newest_first:
                if turn.is_hidden:
                    continue
                free -= turn.size
                if turn.asked_at == activity:  # all that was said since is not before it
                    own.clear()
                    free, missed = room, 0
                elif free >= 0:
                    own.appendleft(turn)
                else:
                    missed += 1
        return own, max(0, free), missed

    async def _is_over(self, session: str) -> bool:
        if self._is_erased is None:
            return False
        known = await self._conversations.session(session, within=EVERYTHING)
        return known is not None and await self._is_erased(known)

    async def _newest_first(self, session: str, cuts: Sequence[Cut] = ()) -> AsyncGenerator[_Turn, None]:
        """Yield each turn: the question, and the answer unless it is empty. Nothing is told of what stands between.

        Answers name the cuts that were made before them: what these hide is older, and so comes behind them.
        """
        wanted = MessageFilter(session_id=session)
        newest_first = every(
            lambda after: self._conversations.messages(wanted, within=EVERYTHING, after=after, limit=PAGE, newest=True)
        )
        answer, known = list[Said](), set(cuts)
        async with aclosing(newest_first):
            async for message in newest_first:
                known.update(Cut.read(message.metadata.get("cuts")))
                if message.is_between or message.content == REMOVED:
                    continue
                if message.role is not Role.USER:
                    answer = [Said("assistant", message.content)] if message.content else []
                    continue
                if any(each.hides(message.position, message.generation) for each in known):
                    yield _Turn([], "", message.activity_id, is_hidden=True)
                else:
                    name = message.activity_name or message.activity_id if answer else ""
                    yield _Turn([_asked(message), *answer], name, message.activity_id)
                answer = []
