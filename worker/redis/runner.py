"""Runs the Lua scripts of this folder, each command within a bounded time, and translates what goes wrong."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any, TypeVar

import structlog
from redis.exceptions import NoScriptError, ResponseError

from worker.redis.connect import STALL, Client, bounds_itself
from worker.redis.failures import ERRORS, code_of, down, spoils_a_script
from worker.redis.formats import CorruptRecord
from worker.telemetry.logs import Event

T = TypeVar("T")

log = structlog.get_logger()


class Script:
    """A script's text, and the digest that servers know it by."""

    def __init__(self, text: str) -> None:
        self.text = text
        # SHA-1 because EVALSHA goes by it; an OpenSSL in FIPS mode has it for this alone.
        self.digest = sha1(text.encode(), usedforsecurity=False).hexdigest()


@cache
def _scripts() -> Mapping[str, Script]:
    """Every script of the folder `scripts` by its name."""
    folder = files(__package__).joinpath("scripts")
    return {file.name.removesuffix(".lua"): Script(file.read_text()) for file in folder.iterdir()}


def ms(duration: timedelta) -> int:
    """Milliseconds, as scripts take times."""
    return int(duration.total_seconds() * 1000)


def moment(milliseconds: int) -> datetime:
    """Return the time that `clock` tells."""
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)


class Runner:
    """Runs scripts and commands on one connection pool."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis
        self._scripts = _scripts()
        self._bounds_itself = bounds_itself(redis)

    async def run(self, name: str, keys: Sequence[str], *args: str | int) -> Any:
        """Return what the script returns. Raises StoreDown; CorruptRecord if it chokes on what stands there."""
        return await self._answer(
            self._evaluate(self._scripts[name], keys, args), f"{name} cannot work with what is there"
        )

    async def run_anew(self, name: str, keys: Sequence[str], *args: str | int) -> Any:
        """The same on what may be forgotten: what the script chokes on is dropped, with a line in the log.

        Otherwise whoever asked would take Redis for down, again and again, and all work would stop for it.
        """
        try:
            return await self.run(name, keys, *args)
        except CorruptRecord as exc:
            await self.drop(keys, str(exc))
            return await self.run(name, keys, *args)

    async def drop(self, keys: Sequence[str], reason: str) -> None:
        """Forget what nobody can have written."""
        log.error(Event.RECORD_CORRUPT, reason=f"{keys[0]} is forgotten: {reason}")
        await self.command(self._redis.delete(*keys))

    async def command(self, command: Awaitable[T]) -> T:
        """Return what a command of the driver returns. Raises StoreDown; CorruptRecord if a key has another type."""
        return await self._answer(command, "what is there is of another type")

    async def _answer(self, command: Awaitable[T], spoilt: str) -> T:
        try:
            return await (command if self._bounds_itself else self.in_time(command))
        except ResponseError as exc:
            if spoils_a_script(exc):
                raise CorruptRecord(f"{spoilt}: {code_of(exc)}") from exc
            raise down(exc) from exc
        except ERRORS as exc:
            raise down(exc) from exc

    async def in_time(self, command: Awaitable[T]) -> T:
        """Bound a command of the driver; its own errors pass.

        The driver waits by asyncio.wait_for, which on Python 3.11 swallows a cancellation that comes with the reply.
        """
        running = asyncio.current_task()
        cancelled = running.cancelling() if running else 0
        async with asyncio.timeout(STALL.total_seconds()):
            done = await command
        if running and running.cancelling() > cancelled:
            raise asyncio.CancelledError
        return done

    async def _evaluate(self, script: Script, keys: Sequence[str], args: tuple[str | int, ...]) -> Any:
        """Run it by its digest, and by its text where the server does not know it, which teaches it.

        Not by register_script: on a cluster that loads it into every primary, and fails while one of them is down.
        """
        try:
            return await self._redis.evalsha(script.digest, len(keys), *keys, *args)
        except NoScriptError:
            return await self._redis.eval(script.text, len(keys), *keys, *args)
