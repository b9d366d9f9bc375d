"""Threads of an instance that are to end before one of its steps, as it was moved back to that one."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from worker.domain.conversations import Filter, Limits, Message, MessageFilter, Role, Session, every, micros
from worker.domain.threads import Decision
from worker.ending.ports import sessions
from worker.errors import HistoryUnread, Permanent
from worker.ports.ending import ThreadIndex
from worker.ports.transcript import TranscriptReader

PAGE = 100


class NothingToRewind(Permanent):
    """What was asked for is not in the record; the text says what there is."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Before which of its steps an instance's threads are to end.

    `attempt` counts the tasks in which that activity was asked, from 1; None for the latest. Without `assistant` it is
    for the threads of all.
    """

    instance: str
    before: str
    assistant: str | None = None
    attempt: int | None = None


@dataclass(frozen=True, slots=True)
class Rewound:
    """One thread, and what becomes of it; `why` is empty where its next turn begins a new one."""

    scope: str
    assistant: str
    thread: str | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Rewinding:
    """Gives the orders. Each is carried out by the thread's next turn, under its hold, as `threads renew` is."""

    index: ThreadIndex
    conversations: TranscriptReader

    async def rewind(self, wish: Wish, by: str, reason: str = "", *, within: Limits) -> Sequence[Rewound]:
        """Order it; a repeat before the next turn changes nothing.

        Raises NothingToRewind, HistoryUnread, TranscriptDown, StoreDown.
        """
        step = await self._step(wish, within)
        own = await self.conversations.session(step.session_id, within=within)
        scope = wish.instance if own is None or own.process_instance_id is None else own.process_instance_id
        late = await self.index.waiting()
        if not late.whole or any(key.scope in {scope, wish.instance} for key in late.threads):
            raise HistoryUnread("what was said last has yet to come to the transcript: order it again in a moment")
        why = Decision(f"rewound to before {wish.before}" + (f": {reason}" if reason else ""), by)
        done = [await self._ordered(each, step, why) async for each in self._threads(scope, wish.assistant, within)]
        if not done:
            raise NothingToRewind(f"no assistant{_called(wish.assistant)} has a thread with instance {scope}")
        return done

    async def _step(self, wish: Wish, within: Limits) -> Message:
        """Find the first question of the task that is meant."""
        asked = dict[str, Message]()
        async for message in self._asked(wish, within):
            asked.setdefault(message.task_id, message)
        if not asked:
            raise NothingToRewind(await self._nobody(wish, within))
        if (wish.attempt or 1) > len(asked):
            times = f"{len(asked)} time{'' if len(asked) == 1 else 's'}"
            raise NothingToRewind(f"{wish.before} was asked {times} in instance {wish.instance}, not more")
        return list(asked.values())[-1 if wish.attempt is None else wish.attempt - 1]

    async def _asked(self, wish: Wish, within: Limits) -> AsyncIterator[Message]:
        wanted = MessageFilter(instance=wish.instance, activity_id=wish.before)
        found = every(lambda after: self.conversations.messages(wanted, within=within, after=after, limit=PAGE))
        async for message in found:
            if message.role is Role.USER and not message.is_between:
                yield message

    async def _nobody(self, wish: Wish, within: Limits) -> str:
        known = [each.id for each in await self.conversations.activities(wish.instance, within=within) if each.id]
        if not known:
            return f"the transcript has nothing of instance {wish.instance}"
        return f"nobody was asked at {wish.before} in instance {wish.instance}; there were {', '.join(known)}"

    async def _threads(self, scope: str, assistant: str | None, within: Limits) -> AsyncIterator[Session]:
        """Find the instance's own threads, and their branches, which know of them what there was to know.

        What others share with it, and what is one task's alone, stays.
        """
        wanted = Filter(instance=scope, assistant=assistant)
        async for session in sessions(self.conversations, wanted, within):
            if (session.key.trunk or session.key).scope == scope:
                yield session

    async def _ordered(self, session: Session, step: Message, why: Decision) -> Rewound:
        # Other threads than the step's are cut by the time at which it was asked.
        cut = step.position if session.id == step.session_id else micros(step.created_at)
        told = Rewound(session.scope, session.assistant, session.thread_id)
        if micros(session.last_at) < cut:
            return replace(told, why="nothing was said on it since")
        thread = await self.index.thread(session.key)
        if thread is None or not await self.index.replace(session.key, thread, replace(why, before=cut)):
            return replace(told, why="Redis knows no thread of it now")
        return replace(told, thread=thread.id)


def _called(assistant: str | None) -> str:
    return f" called {assistant}" if assistant else ""
