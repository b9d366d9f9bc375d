"""Zep's `/api/v4`, which the SDK speaks from its version 4 on: ids are Zep's, and deleting takes its time there."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from worker.errors import MemoryDown
from worker.ports.memory import KnownIds
from worker.zep.dialect import AGAIN_SECONDS, UNKNOWN, Kept, Scope, User, deleted
from worker.zep.facts import Episode, Source, read_episode
from worker.zep.messages import Message
from worker.zep.names import UserName, request_key
from worker.zep.transport import Reply, Transport
from worker.zep.v2 import ids, own_or_refused, read_kept, written

PAGE: Final = 100
MOST_PAGES: Final = 100


class V4:
    """Implements `Dialect`.

    Of a user, `KnownIds` has the id under our name once its threads are known there; the last one that was made, under
    that name with `/made`; and the id of each thread under our name for it. Users are always looked up: only what Zep
    says now is sure. Threads cannot be: where `KnownIds` has lost them, all of the user's are read once.
    """

    def __init__(self, transport: Transport, known: KnownIds) -> None:
        self._send = transport.send
        self._known = known

    async def find_user(self, name: UserName) -> User | None:
        """See `Dialect.find_user`."""
        reply = await self._send("POST", "users", "lookup", body={"user_id": str(name)}, key=_new_key())
        if reply.missing:
            return None
        own_or_refused(name, reply.table())
        return _user(name, reply)

    async def add_user(self, name: UserName) -> User | Reply:
        """See `Dialect.add_user`."""
        # Zep answers a key that it knows as it did then. So one that was deleted there by hand has to have another.
        before = await self._known.get(f"{name}/made")
        body = {"user_id": str(name), "metadata": name.metadata}
        reply = await self._send("POST", "users", body=body, key=request_key("user", name, before))
        if not reply.done:
            return reply
        user = _user(name, reply)
        await self._known.put(f"{name}/made", user.id)
        return user

    async def thread(self, user: User, instance: str) -> str | Reply:
        """See `Dialect.thread`."""
        name = user.name.thread(instance)
        before = await self._known.get(name)
        if before is not None and await self._exists(user, before):
            return before
        if await self._known.get(str(user.name)) != user.id:
            await self._learn(user)
            if (learned := await self._known.get(name)) not in {None, before}:
                return str(learned)
        return await self._made(user, name, before)

    async def _made(self, user: User, name: str, before: str | None) -> str | Reply:
        """Make a thread; everybody who does so at the same time, or dies over it, is given the same one."""
        key = request_key("thread", user.id, name, before)
        reply = await self._send("POST", "threads", body={"user_uuid": user.id}, key=key)
        if not (reply.done or reply.missing):
            await self._learn(user)
            if (learned := await self._known.get(name)) not in {None, before}:
                return str(learned)
        if reply.conflicts:
            # Whoever is at it has the same key: its answer is ours as well.
            await asyncio.sleep(AGAIN_SECONDS)
            reply = await self._send("POST", "threads", body={"user_uuid": user.id}, key=key)
        if not reply.done:
            return reply
        thread = reply.text("uuid")
        await self._known.put(name, thread)
        return thread

    async def threads(self, user: User, instance: str) -> list[str]:
        """See `Dialect.threads`."""
        name = user.name.thread(instance)
        found = [thread async for thread, own in self._walk(user) if own == name]
        known = await self._known.get(name)
        is_more = known is not None and known not in found and await self._exists(user, known)
        return [str(known), *found] if is_more else found

    async def orphan(self, name: UserName, instance: str) -> str | None:
        """See `Dialect.orphan`. Only one whose id is known: threads are listed by their users."""
        known = await self._known.get(name.thread(instance))
        if known is None or (await self._send("GET", "threads", known)).missing:
            return None
        return known if await self._named(known, name) in {None, name.thread(instance)} else None

    async def kept(self, thread: str, most: int) -> list[Kept] | None:
        """See `Dialect.kept`."""
        query: dict[str, str | int] = {"page_size": most, "order": "desc"}
        reply = await self._send("GET", "threads", thread, "messages", query=query)
        return None if reply.missing else [read_kept(each) for each in reply.rows("items")]

    async def add(self, thread: str, messages: list[Message]) -> Reply:
        """See `Dialect.add`."""
        rows = [{**written(each), "reference_time": each.at.astimezone(UTC).isoformat()} for each in messages]
        key = request_key("messages", thread, messages[0].memo.ref, messages[0].part, messages[-1].part)
        return await self._send("POST", "threads", thread, "messages", body={"messages": rows}, key=key)

    async def search(self, user: User, query: str, most: int, scope: Scope) -> list[Mapping[str, Any]] | None:
        """See `Dialect.search`."""
        path = ("graphs", user.graph, "search", scope)
        reply = await self._send("POST", *path, body={"query": query}, query={"page_size": most}, key=_new_key())
        return None if reply.missing else reply.rows("items")

    async def episode(self, user: User, name: str) -> Episode | None:
        """See `Dialect.episode`."""
        reply = await self._send("GET", "graphs", user.graph, "episodes", name)
        return None if reply.status in UNKNOWN else read_episode(reply.table())

    async def episodes_of(self, user: User, thread: str) -> list[str] | None:  # noqa: ARG002 - v2's does not know it either
        """See `Dialect.episodes_of`."""
        found: list[str] = []
        async for reply in self._pages("threads", thread, "episodes"):
            if reply.missing:
                return None
            found += ids(reply.rows("items"))
        return found

    async def delete_episode(self, user: User, name: str) -> bool:
        """See `Dialect.delete_episode`."""
        return deleted(await self._delete("graphs", user.graph, "episodes", name))

    async def delete_thread(self, thread: str) -> bool:
        """See `Dialect.delete_thread`."""
        return deleted(await self._delete("threads", thread))

    async def delete_user(self, user: User) -> bool:
        """See `Dialect.delete_user`."""
        return deleted(await self._delete("users", user.id))

    async def check(self) -> None:
        """See `Dialect.check`."""
        (await self._send("GET", "threads", query={"page_size": 1})).table()

    async def _delete(self, *path: str) -> Reply:
        # By a new key: to an old one Zep would say what it said then, whatever became of it.
        return await self._send("DELETE", *path, key=_new_key())

    async def _exists(self, user: User, thread: str) -> bool:
        reply = await self._send("GET", "threads", thread)
        # Not by a set: a bent reply may have a list there.
        return not reply.missing and reply.table().get("user_uuid") in (None, user.id)

    async def _learn(self, user: User) -> None:
        """Know all threads of a user again."""
        found: dict[str, list[str]] = {}
        async for thread, name in self._walk(user):
            if name is not None:
                found.setdefault(name, []).append(thread)
        for name, threads in found.items():
            if await self._known.get(name) not in threads:
                await self._known.put(name, threads[0])
        await self._known.put(str(user.name), user.id)

    async def _walk(self, user: User) -> AsyncIterator[tuple[str, str | None]]:
        """Yield each thread of a user with our name for it, which its messages tell.

        None where it has none: it may be somebody's who is about to write, and whoever that is will find it by the key.
        """
        async for reply in self._pages("threads", user_uuid=user.id):
            for thread in [] if reply.missing else ids(reply.rows("items")):
                yield thread, await self._named(thread, user.name)

    async def _named(self, thread: str, name: UserName) -> str | None:
        """Return our name for a thread, which its messages tell; None where they do not, or there are none."""
        first = await self._send("GET", "threads", thread, "messages", query={"page_size": 1})
        rows = [] if first.missing else first.rows("items")
        sources = [Source.read(each.get("metadata"), datetime.now(UTC)) for each in rows]
        return next((name.thread(each.instance) for each in sources if each is not None), None)

    async def _pages(self, *path: str, **query: str) -> AsyncIterator[Reply]:
        """Yield one page after the other, or the one refusal. Raises MemoryDown where there is no end of them."""
        asked: dict[str, str | int] = {**query, "page_size": PAGE}
        for _ in range(MOST_PAGES):
            reply = await self._send("GET", *path, query=asked)
            yield reply
            cursor = None if reply.missing else reply.table().get("next_cursor")
            if not cursor:
                return
            asked["cursor"] = str(cursor)
        raise MemoryDown(f"Zep lists more than {MOST_PAGES * PAGE} of {path[-1]}")


def _user(name: UserName, reply: Reply) -> User:
    return User(name, reply.text("uuid"), reply.text("graph_uuid"))


def _new_key() -> str:
    """Make a key for what may as well be done twice: the SDK sends one with every POST and DELETE."""
    return str(uuid4())
