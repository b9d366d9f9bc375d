"""Subjects' memory in Zep: a user for each, a thread for each of its instances, messages for each exchange."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final, Self
from weakref import WeakValueDictionary

from worker.domain.memory import Fact, Forgotten, Memo, MemorySubject
from worker.errors import MemoryDown
from worker.ports.memory import KnownIds
from worker.runtime.breaker import Breaker
from worker.runtime.lately import Lately
from worker.runtime.portions import portions
from worker.zep.dialect import AGAIN_SECONDS, Dialect, Kept, User
from worker.zep.facts import Edge, Source, facts, read_edge, read_episode
from worker.zep.messages import MOST_AT_ONCE, Message, messages
from worker.zep.names import UserName
from worker.zep.refusals import Reading
from worker.zep.transport import Connection, Reply, Transport
from worker.zep.v2 import V2
from worker.zep.v4 import V4

LOOK: Final = 100
"""Messages of a thread among which a ref is looked for: the newest, as memos of a subject come in order."""
LONGEST_QUERY: Final = 400
"""Characters of a question that are searched by."""
MOST_FACTS: Final = 50
SOURCES: Final = 3
"""Episodes of a fact that are looked at for where it is from."""
STAYS: Final = "derived facts"
"""What Zep has made of an exchange in words of its own, such as summaries, goes with the user alone."""


class ZepMemory:
    """Implements `ports.memory.Memory`. Make it by `open`."""

    name = "zep"

    def __init__(self, dialect: Dialect, owner: str) -> None:
        self._zep = dialect
        self._owner = owner
        self._reading = Reading()
        self._users = Lately[User]()
        self._threads = Lately[tuple[str, str]]()  # whose it is, and which
        self._sources = Lately[Source]()
        self._locks = WeakValueDictionary[str, asyncio.Lock]()

    @classmethod
    @asynccontextmanager
    async def open(cls, connection: Connection, known: KnownIds, breaker: Breaker | None = None) -> AsyncIterator[Self]:
        """Make the client; nothing is reached yet. Only v4 wants to know ids. `breaker`: others may open it, too."""
        async with Transport.open(connection, breaker or Breaker()) as transport:
            dialect = V2(transport) if connection.dialect == "v2" else V4(transport, known)
            yield cls(dialect, connection.owner)

    async def recall(
        self,
        subject: MemorySubject,
        question: str,
        most: int,
        *,
        meaning: Sequence[float] | None = None,  # noqa: ARG002 - Zep knows that for itself
    ) -> list[Fact]:
        """See `ports.memory.Memory.recall`. What Zep has derived comes first, then what was said."""
        query = " ".join(question.split())[:LONGEST_QUERY]
        most = min(most, MOST_FACTS)
        if not query or most < 1:
            return []
        with self._reading:
            name = UserName(self._owner, subject)
            for _ in range(2):
                user = await self._known_user(name)
                if user is None:
                    return []
                if (found := await self._found(user, query, most)) is not None:
                    self._reading.works()
                    return found
                self._users.forget(str(name))
            raise MemoryDown("Zep finds nothing of a user that it has")

    async def remember(self, memo: Memo) -> None:
        """See `ports.memory.Memory.remember`. At least once: what Zep has taken and does not show yet comes again."""
        pieces = messages(memo)
        if not pieces:
            return
        name = UserName(self._owner, memo.subject)
        async with self._lock(name):
            refusal = await self._written(name, memo, pieces)
            if refusal is not None:
                # The user or thread that we knew is gone, by Zep's own word: both are made sure of, once.
                self._users.forget(str(name))
                self._threads.forget(name.thread(memo.instance))
                refusal = await self._written(name, memo, pieces)
        if refusal is not None:
            raise MemoryDown("what was just made in Zep is gone") if refusal.missing else refusal.refused()

    async def forget(self, subject: MemorySubject) -> Forgotten:
        """See `ports.memory.Memory.forget`. What goes are the users of this generation and of all before it."""
        removed, is_open = 0, False
        for generation in range(subject.generation + 1):
            name = UserName(self._owner, MemorySubject(subject.digest, subject.tenant, generation))
            async with self._lock(name):
                self._users.forget(str(name))
                user = await self._zep.find_user(name)
                if user is not None:
                    removed += await self._zep.delete_user(user)
                    is_open |= await self._zep.find_user(name) is not None
        return Forgotten(removed, open=is_open)

    async def forget_instance(self, subject: MemorySubject, instance: str) -> Forgotten:
        """See `ports.memory.Memory.forget_instance`. `removed`: episodes and threads that Zep agreed to delete."""
        name = UserName(self._owner, subject)
        async with self._lock(name):
            self._threads.forget(name.thread(instance))
            user = await self._zep.find_user(name)
            if user is None:
                return await self._forget_orphan(name, instance)
            removed, is_open = 0, False
            for thread in await self._zep.threads(user, instance):
                gone, waits = await self._emptied(user, thread)
                removed, is_open = removed + gone, is_open or waits
            return Forgotten(removed, STAYS, is_open)

    async def _forget_orphan(self, name: UserName, instance: str) -> Forgotten:
        """Forget a thread that is there although its user is not, as after somebody has deleted that alone."""
        thread = await self._zep.orphan(name, instance)
        if thread is None:
            return Forgotten(0)
        removed = await self._zep.delete_thread(thread)
        return Forgotten(removed, open=await self._zep.kept(thread, 1) is not None)

    async def check(self) -> None:
        """See `ports.memory.Memory.check`. What was not recalled for want of a right is recalled again after it."""
        await self._zep.check()
        self._reading.again()

    def _lock(self, name: UserName) -> asyncio.Lock:
        """One at a time writes to a user, or forgets it, in this worker."""
        return self._locks.setdefault(str(name), asyncio.Lock())

    async def _known_user(self, name: UserName) -> User | None:
        user = self._users.get(str(name)) or await self._zep.find_user(name)
        return user if user is None else self._users.keep(str(name), user)

    async def _sure_user(self, name: UserName) -> User:
        user = await self._known_user(name)
        if user is not None:
            return user
        made = await self._zep.add_user(name)
        if isinstance(made, Reply):
            # Any refusal may mean that somebody was faster: what is there tells.
            found = await self._zep.find_user(name)
            if found is None and made.conflicts:
                await asyncio.sleep(AGAIN_SECONDS)
                found = await self._zep.find_user(name)
            if found is None:
                raise made.refused()
            made = found
        return self._users.keep(str(name), made)

    async def _sure_thread(self, user: User, instance: str) -> str | Reply:
        name = user.name.thread(instance)
        # A user that was made anew has none of those that were another's.
        if (known := self._threads.get(name)) is not None and known[0] == user.id:
            return known[1]
        found = await self._zep.thread(user, instance)
        return found if isinstance(found, Reply) else self._threads.keep(name, (user.id, found))[1]

    async def _written(self, name: UserName, memo: Memo, pieces: list[Message]) -> Reply | None:
        """Write what the thread lacks. A Reply where it turns out that user or thread are gone, or may be."""
        thread = await self._sure_thread(await self._sure_user(name), memo.instance)
        if isinstance(thread, Reply):
            return thread
        # Always, not only after trouble that we know of: whoever tried before may have died over it.
        kept = await self._zep.kept(thread, max(LOOK, len(pieces)))
        if kept is None:
            return _GONE
        there = {each.part for each in kept if each.ref == memo.ref}
        for some in portions((each for each in pieces if each.part not in there), MOST_AT_ONCE):
            reply = await self._zep.add(thread, some)
            if reply.missing or (not reply.done and await self._zep.kept(thread, 1) is None):
                return _GONE
            if not reply.done:
                raise reply.refused()
        return None

    async def _found(self, user: User, query: str, most: int) -> list[Fact] | None:
        async with _first_error(), asyncio.TaskGroup() as group:
            deriving = group.create_task(self._zep.search(user, query, most, "edges"), name="zep edges")
            saying = group.create_task(self._zep.search(user, query, most, "episodes"), name="zep episodes")
        derived, said = deriving.result(), saying.result()
        if derived is None or said is None:
            return None
        now = datetime.now(UTC)
        edges = [edge for each in derived if (edge := read_edge(each, now)) is not None]
        episodes = [episode for each in said if (episode := read_episode(each)) is not None]
        for each in episodes:
            if each.source is not None:
                self._sources.keep(each.id, each.source)
        async with _first_error(), asyncio.TaskGroup() as group:
            for edge in edges:
                group.create_task(self._look_up(user, edge), name="zep source")
        return facts([(edge, source) for edge in edges if (source := self._source(edge)) is not None], episodes, most)

    def _source(self, edge: Edge) -> Source | None:
        return next((source for each in edge.episodes if (source := self._sources.get(each)) is not None), None)

    async def _look_up(self, user: User, edge: Edge) -> None:
        """Learn which exchange an edge is from, unless that is known; of one from several, one that is there."""
        for each in edge.episodes[:SOURCES]:
            if self._source(edge) is not None:
                return
            episode = await self._zep.episode(user, each)
            if episode is not None and episode.source is not None:
                self._sources.keep(each, episode.source)

    async def _emptied(self, user: User, thread: str) -> tuple[int, bool]:
        """Delete a thread and what came of it: how much Zep agreed to, and whether something is still there."""
        kept = await self._zep.kept(thread, LOOK)
        if kept is None:
            return 0, False
        removed = 0
        episodes = await self._zep.episodes_of(user, thread) or []
        for each in episodes:
            removed += await self._zep.delete_episode(user, each)
            self._sources.forget(each)
        # The thread is what names them: it goes when there are none, and none is to come.
        if _awaited(kept) or (episodes and await self._zep.episodes_of(user, thread)):
            return removed, True
        removed += await self._zep.delete_thread(thread)
        return removed, await self._zep.kept(thread, 1) is not None


_GONE: Final = Reply(404, None)
"""Stands for the answer that told so."""


def _awaited(kept: Iterable[Kept]) -> bool:
    return any(each.pending for each in kept)


@asynccontextmanager
async def _first_error() -> AsyncIterator[None]:
    """Raise one of the errors of a task group by itself, as if its work had been done one after the other."""
    try:
        yield
    except ExceptionGroup as errors:
        first = errors.exceptions[0]
        raise first from first.__cause__
