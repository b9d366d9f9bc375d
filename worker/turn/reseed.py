"""What a recreated thread is told of its forerunner, out of the transcript."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import structlog

from worker.domain.conversations import EVERYTHING, Message, MessageFilter, Role, every, session_id
from worker.domain.refs import defused
from worker.domain.threads import (
    BYTES_PER_TOKEN,
    OPENAI,
    Said,
    Seed,
    Thread,
    ThreadKey,
    address,
    left_out_note,
    provider_of,
    size,
)
from worker.errors import TranscriptDown
from worker.ports.transcript import TranscriptReader
from worker.telemetry.logs import Event

PAGE = 100
PATIENCE_SECONDS = 5.0
"""A turn waits no longer for what was said before it: the assistant then does without."""

log = structlog.get_logger()


class History:
    """Implements `ports.turn.History`. `tokens` is the room for earlier turns, taken for 4 bytes each."""

    def __init__(self, conversations: TranscriptReader, tokens: int) -> None:
        self._conversations = conversations
        self._room = BYTES_PER_TOKEN * tokens

    async def seed(self, key: ThreadKey) -> Seed:
        """See `ports.turn.History.seed`."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self._read(session_id(key))
        except (TranscriptDown, TimeoutError) as exc:
            log.warning(Event.THREAD_NOT_SEEDED, reason=str(exc) or "the transcript takes too long")
            return Seed(is_known=False)

    async def inherited(self, keys: Sequence[ThreadKey], activity: str) -> Seed:
        """See `ports.turn.History.inherited`."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self._read_before([session_id(key) for key in keys], activity)
        except (TranscriptDown, TimeoutError) as exc:
            log.warning(Event.THREAD_NOT_SEEDED, reason=str(exc) or "the transcript takes too long")
            return Seed(is_known=False)

    async def thread(self, key: ThreadKey) -> Thread | None:
        """See `ports.turn.History.thread`."""
        name = session_id(key)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                known = await self._conversations.session(name, within=EVERYTHING)
                if known is None or known.thread_id is None:
                    return None
                stored = await self._conversations.stored(MessageFilter(session_id=name), within=EVERYTHING)
        except (TranscriptDown, TimeoutError):
            return None
        places = [provider_of(each) for each in stored.threads]
        provider = next((where for where, thread in reversed(places) if thread == known.thread_id), OPENAI)
        anchor = stored.threads.get(address(provider, known.thread_id))
        return Thread(known.thread_id, known.generation or 1, anchor, provider)

    async def anchor(self, key: ThreadKey, thread: Thread) -> str | None:
        """See `ports.turn.History.anchor`."""
        wanted = MessageFilter(session_id=session_id(key))
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return (await self._conversations.stored(wanted, within=EVERYTHING)).threads.get(thread.address)
        except (TranscriptDown, TimeoutError):
            return None

    async def _read(self, session: str) -> Seed:
        """Read from the newest turn back until the room is used up; a turn is taken whole or not at all."""
        said: deque[Said] = deque()
        room, turns = self._room, 0
        async with aclosing(self._newest_first(session)) as newest_first:
            async for turn in newest_first:
                taken = _size(turn)
                if taken > room:
                    break
                said.extendleft(reversed(turn))
                room, turns = room - taken, turns + 1
        known = await self._conversations.session(session, within=EVERYTHING)
        return _seed(said, turns, left_out=max(0, (known.messages if known else 0) // 2 - turns))

    async def _read_before(self, sessions: Sequence[str], activity: str) -> Seed:
        """Read each session from its oldest turn on until the activity that the next one began with."""
        parts = list[tuple[str, str]]()
        for session in sessions:
            parts.append((session, activity))
            first = await self._conversations.messages(MessageFilter(session_id=session), within=EVERYTHING, limit=1)
            activity = first.items[0].activity_id if first.items else activity
        turns: deque[list[Said]] = deque()
        room, left_out = self._room, 0
        for session, until in reversed(parts):
            async with aclosing(self._oldest_first(session, until)) as oldest_first:
                async for turn in oldest_first:
                    turns.append(turn)
                    room -= _size(turn)
                    while room < 0:
                        room += _size(turns.popleft())
                        left_out += 1
        return _seed(deque(each for turn in turns for each in turn), len(turns), left_out)

    async def _oldest_first(self, session: str, until: str) -> AsyncGenerator[list[Said], None]:
        """Yield each turn before the first one of this activity."""
        wanted = MessageFilter(session_id=session)
        messages = every(lambda after: self._conversations.messages(wanted, within=EVERYTHING, after=after, limit=PAGE))
        turn: list[Said] = []
        async with aclosing(messages):
            async for message in messages:
                if message.activity_id == until:
                    break
                if message.role is Role.USER:
                    if turn:
                        yield turn
                    turn = [_asked(message)]
                elif message.content:
                    turn.append(Said("assistant", message.content))
        if turn:
            yield turn

    async def _newest_first(self, session: str) -> AsyncGenerator[list[Said], None]:
        """Yield each turn: the question, and the answer unless it is empty."""
        wanted = MessageFilter(session_id=session)
        newest_first = every(
            lambda after: self._conversations.messages(wanted, within=EVERYTHING, after=after, limit=PAGE, newest=True)
        )
        answer: list[Said] = []
        async with aclosing(newest_first):
            async for message in newest_first:
                if message.role is Role.USER:
                    yield [_asked(message), *answer]
                    answer = []
                else:
                    answer = [Said("assistant", message.content)] if message.content else []


def _asked(message: Message) -> Said:
    # As a message of a user it could be taken for a question of ours, should it end like one.
    return Said("user", defused(message.content))


def _size(turn: Sequence[Said]) -> int:
    return sum(size(each.text) for each in turn)


def _seed(said: deque[Said], turns: int, left_out: int) -> Seed:
    if left_out:
        said.appendleft(left_out_note(left_out))
    return Seed(tuple(said), turns, left_out)
