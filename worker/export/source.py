"""What goes into a file: which conversations, and what the engine knows of the instances that they are of."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from worker.domain.conversations import Filter, Limits, Message, MessageFilter, Session, every
from worker.domain.processes import Called, Calls
from worker.errors import ReadRefused, Transient
from worker.ports.transcript import TranscriptReader

ENGINE_SECONDS = 20
AWAY = "the engine cannot be asked now, or does not let the worker see it"
_PAGE = 100


class Processes(Protocol):
    """The engine, as exports see it."""

    async def called(self, instance_id: str, /) -> Calls:
        """Find the instances that one called, at any depth. May raise Transient errors, ReadRefused."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """Conversations in their order, with what was said in them as far as `within` allows.

    `called` is what the engine knows of called instances. `lacking` says why conversations of some may be missing.
    """

    conversations: TranscriptReader
    within: Limits
    sessions: Sequence[Session]
    called: Mapping[str, Called] = field(default_factory=dict)
    lacking: str = ""

    def caller(self, instance: str | None) -> Called | None:
        """Tell what is known of an instance's call."""
        return self.called.get(instance) if instance else None

    def messages(self, session: Session) -> AsyncIterator[Message]:
        """Read what was said, in order. Raises TranscriptDown."""
        wanted, read = MessageFilter(session.id), self.conversations.messages
        return every(lambda after: read(wanted, within=self.within, after=after, limit=_PAGE))


async def of_session(conversations: TranscriptReader, session_id: str, *, within: Limits) -> Source:
    """Find a session; nothing if there is none to be seen."""
    session = await conversations.session(session_id, within=within)
    return Source(conversations, within, [] if session is None else [session])


async def of_instance(
    conversations: TranscriptReader, processes: Processes, instance: str, *, within: Limits
) -> Source:
    """Find every session of an instance and of those that it called; nothing if there is none to be seen."""
    return await _whole(conversations, processes, Filter(instance=instance), [instance], within)


async def of_business_key(
    conversations: TranscriptReader, processes: Processes, business_key: str, *, within: Limits
) -> Source:
    """Find every session with a business key, and of the instances that those with it called."""
    wanted = Filter(business_key=business_key)
    spoke = every(lambda after: conversations.instances(wanted, within=within, after=after, limit=_PAGE))
    return await _whole(conversations, processes, wanted, [each.id async for each in spoke], within)


async def _whole(
    conversations: TranscriptReader, processes: Processes, wanted: Filter, instances: Sequence[str], within: Limits
) -> Source:
    found = {each.id: each for each in await _sessions(conversations, wanted, within)}
    if not found and within.hides_processes:
        return Source(conversations, within, [])
    called, lacking = dict[str, Called](), set[str]()
    for instance in instances:
        try:
            async with asyncio.timeout(ENGINE_SECONDS):
                calls = await processes.called(instance)
        except (Transient, ReadRefused, TimeoutError):
            calls = Calls([], AWAY)
        called |= {each.id: each for each in calls.called}
        lacking |= {calls.lacking} - {""}
    for instance in called:
        more = await _sessions(conversations, Filter(instance=instance), within)
        found |= {each.id: each for each in more if each.id not in found}
    return Source(conversations, within, list(found.values()), called, "; ".join(sorted(lacking)))


async def _sessions(conversations: TranscriptReader, wanted: Filter, within: Limits) -> list[Session]:
    """Find sessions, the earliest first."""
    newest_first = every(lambda after: conversations.sessions(wanted, within=within, after=after, limit=_PAGE))
    return [session async for session in newest_first][::-1]
