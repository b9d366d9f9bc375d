"""Threads in Redis: the map, the hold and the journal, changed by Lua scripts only."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from hashlib import sha1
from importlib.resources import files
from typing import Any, TypeVar
from uuid import uuid4

import structlog
from redis.exceptions import NoScriptError, ResponseError

from worker.domain import Answer, Answered, Asked, Busy, Entered, Entry, Hold, Thread, ThreadKey
from worker.logs import Event
from worker.threads.connect import Client
from worker.threads.failures import ERRORS, code_of, down, spoils_a_script
from worker.threads.keys import Keys
from worker.threads.record import CorruptMap, CorruptRecord, dump, load

ANSWERED_FOR = timedelta(days=7)
"""How long an answer waits for its completion: longer than any weekend with a stopped engine."""
DONE_FOR = timedelta(hours=1)
"""How long an accepted completion is remembered for a second delivery of the same task."""
STALL = timedelta(seconds=3)
"""The longest that a command may take. The driver's own steps (find the primary, connect, log in, ask) add up."""

T = TypeVar("T")

log = structlog.get_logger()


class Script:
    """A script's text, and the digest that servers know it by."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = sha1(text.encode(), usedforsecurity=False).hexdigest()


class RedisThreads:
    """Implements `ports.Threads`. `lease` is how long a hold lives without renewal, `keep` the map's sliding expiry."""

    def __init__(self, redis: Client, *, prefix: str, lease: timedelta, keep: timedelta) -> None:
        self._redis = redis
        self._prefix = prefix
        self._lease = _ms(lease)
        self._keep = _ms(keep)
        self._scripts = {
            file.name.removesuffix(".lua"): Script(file.read_text())
            for file in files(__package__).joinpath("scripts").iterdir()
        }

    async def enter(self, key: ThreadKey, task_id: str) -> Entry:
        """See `ports.Threads.enter`. A record that nobody can read counts as absent, with a line in the log."""
        keys = Keys.of(self._prefix, key)
        names = [keys.turn(task_id), keys.hold, keys.thread]
        hold = Hold(key, task_id, uuid4().hex)
        try:
            return _entry(hold, await self._run("enter", names, task_id, hold.token, self._lease, self._keep))
        except CorruptRecord as exc:
            log.error(Event.RECORD_CORRUPT, task_id=task_id, reason=str(exc))
            await self._discard(names, names[2] if isinstance(exc, CorruptMap) else names[0])
            return _entry(hold, await self._run("enter", names, task_id, hold.token, self._lease, self._keep))

    async def bind(self, hold: Hold, thread: Thread, replaces: int) -> bool:
        """See `ports.Threads.bind`."""
        keys = Keys.of(self._prefix, hold.key)
        args = (hold.token, thread.id, thread.generation, replaces, self._keep)
        return bool(await self._run("bind", [keys.hold, keys.thread], *args))

    async def intend(self, hold: Hold, attempt: int, limit: timedelta) -> bool:
        """See `ports.Threads.intend`."""
        keys = Keys.of(self._prefix, hold.key)
        names = [keys.turn(hold.task_id), keys.hold]
        return bool(await self._run("intend", names, hold.token, attempt, _ms(limit), self._keep))

    async def note(self, hold: Hold, attempt: int, response_id: str) -> bool:
        """See `ports.Threads.note`."""
        names = [Keys.of(self._prefix, hold.key).turn(hold.task_id)]
        return bool(await self._run("note", names, attempt, response_id, self._keep))

    async def answer(self, hold: Hold, attempt: int, answer: Answer, *, published: bool) -> Answer:
        """See `ports.Threads.answer`."""
        keys = Keys.of(self._prefix, hold.key)
        names = [keys.turn(hold.task_id), keys.hold, keys.thread]
        written = answer.thread.id if published and answer.thread else ""
        kept = await self._run("answer", names, hold.token, attempt, dump(answer), _ms(ANSWERED_FOR), written)
        try:
            return load(kept)
        except CorruptRecord:
            return answer

    async def again(self, key: ThreadKey, task_id: str, attempt: int, repair: str = "") -> None:
        """See `ports.Threads.again`."""
        await self._run("again", [Keys.of(self._prefix, key).turn(task_id)], attempt, self._keep, repair)

    async def done(self, key: ThreadKey, task_id: str) -> None:
        """See `ports.Threads.done`."""
        await self._run("done", [Keys.of(self._prefix, key).turn(task_id)], _ms(DONE_FOR))

    async def renew(self, hold: Hold) -> bool:
        """See `ports.Threads.renew`."""
        keys = Keys.of(self._prefix, hold.key)
        return bool(await self._run("renew", [keys.hold], hold.token, self._lease))

    async def leave(self, hold: Hold, *, asked: bool, trouble: bool) -> None:
        """See `ports.Threads.leave`."""
        keys = Keys.of(self._prefix, hold.key)
        names = [keys.turn(hold.task_id), keys.hold]
        await self._run("leave", names, hold.token, int(asked), int(trouble), self._keep)

    async def ping(self) -> None:
        """Return if Redis runs scripts that write: a replica or a full server answers PING, and scripts that read."""
        await self._run("ping", [f"{self._prefix}:ping"])

    async def _run(self, name: str, keys: list[str], *args: str | int) -> Any:
        try:
            return await _in_time(self._evaluate(self._scripts[name], keys, args))
        except ResponseError as exc:
            if spoils_a_script(exc):
                raise CorruptRecord(f"{name} cannot work with what is there: {code_of(exc)}") from exc
            raise down(exc) from exc
        except ERRORS as exc:
            raise down(exc) from exc

    async def _evaluate(self, script: "Script", keys: list[str], args: tuple[str | int, ...]) -> Any:
        """Run it by its digest, and by its text where the server does not know it, which teaches it.

        Not by register_script: on a cluster that loads it into every primary, and fails while one of them is down.
        """
        try:
            return await self._redis.evalsha(script.digest, len(keys), *keys, *args)
        except NoScriptError:
            return await self._redis.eval(script.text, len(keys), *keys, *args)

    async def _discard(self, names: list[str], unreadable: str) -> None:
        """Remove what is not a hash under our names; if all are, it is this one that cannot be read."""
        try:
            kinds = {name: await _in_time(self._redis.type(name)) for name in names}
            spoilt = [name for name, kind in kinds.items() if kind not in {"hash", "none"}]
            for name in spoilt or [unreadable]:
                await _in_time(self._redis.delete(name))
        except ERRORS as exc:
            raise down(exc) from exc


async def _in_time(command: Awaitable[T]) -> T:
    async with asyncio.timeout(STALL.total_seconds()):
        return await command


def _entry(hold: Hold, reply: list[Any]) -> Entry:
    match reply:
        case ["answered", attempt, answer, repair]:
            return Answered(load(answer), int(attempt), repair)
        case ["busy"]:
            return Busy()
        case ["entered", attempt, thread_id, generation, published, running, trouble, deaths, response, repair]:
            return Entered(
                hold=hold,
                attempt=int(attempt),
                thread=Thread(thread_id, _number(generation)) if thread_id else None,
                published=published == "1",
                asked=None if running < 0 else Asked(timedelta(milliseconds=running), response or None),
                trouble_for=timedelta(milliseconds=trouble),
                deaths=deaths,
                repair=repair,
            )
    raise CorruptRecord("unknown reply")


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError as exc:
        raise CorruptMap("not a number") from exc


def _ms(duration: timedelta) -> int:
    return int(duration.total_seconds() * 1000)
