"""What a recreated thread is told of its forerunner, out of the transcript."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing

from worker.domain.conversations import EVERYTHING, MessageFilter, Role, every, session_id
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

PAGE = 100
PATIENCE_SECONDS = 5.0
"""A turn waits no longer for what was said before it: the assistant then does without."""


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
        except TimeoutError as exc:
            raise TranscriptDown("the transcript takes too long") from exc

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
                taken = sum(size(each.text) for each in turn)
                if taken > room:
                    break
                said.extendleft(reversed(turn))
                room, turns = room - taken, turns + 1
        answers = await self._conversations.spent("all", MessageFilter(session_id=session), within=EVERYTHING)
        left_out = max(0, sum(each.answers for each in answers.values()) - turns)
        if left_out:
            said.appendleft(left_out_note(left_out))
        return Seed(tuple(said), turns, left_out)

    async def _newest_first(self, session: str) -> AsyncGenerator[list[Said], None]:
        """Yield each turn: the question, and the answer unless it is empty. Nothing is told of what stands between."""
        wanted = MessageFilter(session_id=session)
        newest_first = every(
            lambda after: self._conversations.messages(wanted, within=EVERYTHING, after=after, limit=PAGE, newest=True)
        )
        answer: list[Said] = []
        async with aclosing(newest_first):
            async for message in newest_first:
                if message.is_between:
                    continue
                if message.role is Role.USER:
                    # As a message of a user it could be taken for a question of ours, should it end like one.
                    yield [Said("user", defused(message.content)), *answer]
                    answer = []
                else:
                    answer = [Said("assistant", message.content)] if message.content else []
