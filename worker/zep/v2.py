"""Zep's `/api/v2`, which the SDK speaks up to its version 3: ids are ours, nothing is declared to be asynchronous."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from worker.errors import MemoryRefused
from worker.zep.dialect import UNKNOWN, Kept, Scope, User, deleted
from worker.zep.facts import Episode, Source, read_episode
from worker.zep.messages import Message
from worker.zep.names import UserName
from worker.zep.transport import Reply, Transport


class V2:
    """Implements `Dialect`."""

    def __init__(self, transport: Transport) -> None:
        self._send = transport.send

    async def find_user(self, name: UserName) -> User | None:
        """See `Dialect.find_user`."""
        reply = await self._send("GET", "users", str(name))
        if reply.missing:
            return None
        own_or_refused(name, reply.table())
        return User(name, str(name))

    async def add_user(self, name: UserName) -> User | Reply:
        """See `Dialect.add_user`."""
        reply = await self._send("POST", "users", body={"user_id": str(name), "metadata": name.metadata})
        return User(name, str(name)) if reply.done else reply

    async def thread(self, user: User, instance: str) -> str | Reply:
        """See `Dialect.thread`."""
        thread = user.name.thread(instance)
        if await self._exists(user, thread):
            return thread
        reply = await self._send("POST", "threads", body={"thread_id": thread, "user_id": user.id})
        return thread if reply.done or await self._exists(user, thread) else reply

    async def threads(self, user: User, instance: str) -> list[str]:
        """See `Dialect.threads`."""
        thread = user.name.thread(instance)
        return [thread] if await self._exists(user, thread) else []

    async def orphan(self, name: UserName, instance: str) -> str | None:
        """See `Dialect.orphan`."""
        found = await self.threads(User(name, str(name)), instance)
        return found[0] if found else None

    async def kept(self, thread: str, most: int) -> list[Kept] | None:
        """See `Dialect.kept`."""
        reply = await self._newest(thread, most)
        return None if reply.missing else [read_kept(each) for each in reply.rows("messages")]

    async def add(self, thread: str, messages: list[Message]) -> Reply:
        """See `Dialect.add`."""
        rows = [{**written(each), "created_at": each.at.astimezone(UTC).isoformat()} for each in messages]
        return await self._send("POST", "threads", thread, "messages", body={"messages": rows})

    async def search(self, user: User, query: str, most: int, scope: Scope) -> list[Mapping[str, Any]] | None:
        """See `Dialect.search`."""
        body = {"user_id": user.id, "query": query, "limit": most, "scope": scope}
        reply = await self._send("POST", "graph", "search", body=body)
        return None if reply.missing else reply.rows(scope)

    async def episode(self, user: User, name: str) -> Episode | None:  # noqa: ARG002 - the id is enough here
        """See `Dialect.episode`."""
        reply = await self._send("GET", "graph", "episodes", name)
        return None if reply.status in UNKNOWN else read_episode(reply.table())

    async def episodes_of(self, user: User, thread: str) -> list[str] | None:  # noqa: ARG002 - as above
        """See `Dialect.episodes_of`."""
        reply = await self._send("GET", "threads", thread, "episodes")
        return None if reply.missing else ids(reply.rows("episodes"))

    async def delete_episode(self, user: User, name: str) -> bool:  # noqa: ARG002 - as above
        """See `Dialect.delete_episode`."""
        return deleted(await self._send("DELETE", "graph", "episodes", name))

    async def delete_thread(self, thread: str) -> bool:
        """See `Dialect.delete_thread`."""
        return deleted(await self._send("DELETE", "threads", thread))

    async def delete_user(self, user: User) -> bool:
        """See `Dialect.delete_user`."""
        return deleted(await self._send("DELETE", "users", user.id))

    async def check(self) -> None:
        """See `Dialect.check`."""
        (await self._send("GET", "threads", query={"page_number": 1, "page_size": 1})).table()

    async def _exists(self, user: User, thread: str) -> bool:
        # There is no GET of a thread: 405.
        reply = await self._newest(thread, 1)
        if reply.missing:
            return False
        # Threads carry no metadata: whose one is that has our id, its user says.
        # Not by a set: a bent reply may have a list there.
        if reply.table().get("user_id") not in (None, user.id):
            raise MemoryRefused(f"another user of Zep's has the thread {thread}")
        return True

    async def _newest(self, thread: str, most: int) -> Reply:
        return await self._send("GET", "threads", thread, "messages", query={"lastn": most})


def own_or_refused(name: UserName, said: Mapping[str, Any]) -> None:
    """Raise MemoryRefused unless a user carries our metadata: it is not ours to write to, to read or to delete."""
    if not name.owns(said.get("metadata")):
        raise MemoryRefused(f"Zep has a user {name} that does not carry our metadata, and is left alone")


def written(message: Message) -> dict[str, Any]:
    """Lay a message out, but for its time, whose name differs."""
    said = {"role": message.role, "content": message.text, "metadata": message.metadata}
    return said if message.name is None else {**said, "name": message.name}


def read_kept(said: Mapping[str, Any]) -> Kept:
    """Read a message of a thread; one that is not ours has no ref."""
    source = Source.read(said.get("metadata"), datetime.now(UTC))
    pending = said.get("processed") is False
    return Kept("", 0, pending) if source is None else Kept(source.ref, source.part, pending)


def ids(rows: list[Mapping[str, Any]]) -> list[str]:
    """Return the ids of what is listed."""
    return [each["uuid"] for each in rows if isinstance(each.get("uuid"), str)]
