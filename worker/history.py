"""What a recreated thread is told of its forerunner, out of the transcript."""

from collections import deque

import structlog

from worker.conversations import EVERYTHING, Conversations, Message, MessageFilter, Role, TranscriptDown, session_id
from worker.domain import Said, Seed, ThreadKey
from worker.logs import Event

BYTES_PER_TOKEN = 4
PAGE = 100

log = structlog.get_logger()


class History:
    """Implements `ports.History`. `tokens` is the room for earlier turns, taken for 4 bytes each."""

    def __init__(self, conversations: Conversations, tokens: int) -> None:
        self._conversations = conversations
        self._room = BYTES_PER_TOKEN * tokens

    async def seed(self, key: ThreadKey) -> Seed:
        """See `ports.History.seed`."""
        try:
            return await self._read(session_id(key))
        except TranscriptDown as exc:
            log.warning(Event.THREAD_NOT_SEEDED, reason=str(exc))
            return Seed()

    async def _read(self, session: str) -> Seed:
        """Read from the newest turn back until the room is used up; a turn is taken whole or not at all."""
        said: deque[Said] = deque()
        room, turns, left_out = self._room, 0, 0
        wanted, after = MessageFilter(session_id=session), None
        behind: Message | None = None
        while True:
            page = await self._conversations.messages(wanted, within=EVERYTHING, after=after, limit=PAGE, newest=True)
            for message in page.items:
                if message.role is not Role.USER:
                    behind = message
                    continue
                turn = [Said("user", message.content)]
                if behind is not None and behind.content:
                    turn.append(Said("assistant", behind.content))
                behind = None
                size = sum(len(each.text.encode(errors="replace")) for each in turn)
                if left_out or size > room:
                    left_out += 1
                else:
                    said.extendleft(reversed(turn))
                    room, turns = room - size, turns + 1
            if page.next is None:
                break
            after = page.next
        if left_out:
            plural = "" if left_out == 1 else "s"
            said.appendleft(
                Said("developer", f"{left_out} earlier turn{plural} of this conversation had to be left out.")
            )
        return Seed(tuple(said), turns, left_out)
