"""What a person wants to know of Redis before threads are trusted to it: writes, eviction, persistence, version."""

from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from redis.exceptions import ResponseError

from worker.errors import StoreDown
from worker.redis.connect import Client, open_redis
from worker.redis.failures import ERRORS, explain
from worker.redis.keys import stem
from worker.runtime.clock import ahead


class Unusable(StoreDown):
    """Redis cannot be used; `advice` says what a person can do about it."""

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


@dataclass(frozen=True, slots=True)
class RedisInfo:
    """What Redis says of itself; None where it does not say, as hosted ones may forbid to ask.

    `policy` is its maxmemory-policy; `snapshots` the setting `save`, empty when there are none.
    """

    product: str | None
    version: str | None
    policy: str | None
    append_only: bool | None
    snapshots: str | None


class Inspection:
    """A look at one Redis from outside of the store. Make it by `open`."""

    def __init__(self, redis: Client, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, prefix: str, ca_file: Path | None = None) -> AsyncIterator[Self]:
        """Prepare the connection; nothing is reached yet."""
        async with open_redis(url, connections=2, ca_file=ca_file) as redis:
            yield cls(redis, prefix)

    async def try_write(self) -> None:
        """Return if Redis takes writes. Raises Unusable. Changes nothing: it sets a key only if it exists already."""
        try:
            await self._redis.set(f"{self._prefix}:ping", "", xx=True, px=1)
        except ERRORS as exc:
            raise _unusable(exc) from exc

    async def info(self) -> RedisInfo:
        """Ask Redis about itself. Raises Unusable."""
        info = await _told(self._redis.info())
        # One name only: several at once need Redis 7, and a pattern would bring passwords along.
        config = await _told(self._redis.config_get("save"))
        append_only = info.get("aof_enabled")
        return RedisInfo(
            product=str(info.get("server_name", "redis")).capitalize() if info else None,
            version=_text(info.get("valkey_version") or info.get("redis_version")),
            policy=_text(info.get("maxmemory_policy")),
            append_only=None if append_only is None else append_only == 1,
            snapshots=config.get("save"),
        )

    async def format(self, engine: str) -> int | None:
        """Return the format that is noted for an engine, None if none is. Raises Unusable."""
        try:
            noted = await self._redis.get(f"{stem(self._prefix, engine)}:format")
        except ERRORS as exc:
            raise _unusable(exc) from exc
        return int(str(noted)) if str(noted).isdecimal() else None

    async def clock_ahead(self) -> timedelta:
        """Return how much the server's clock is ahead of ours. Raises Unusable."""
        asked_at = datetime.now(UTC)
        try:
            seconds, microseconds = await self._redis.time()
        except ERRORS as exc:
            raise _unusable(exc) from exc
        told = datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)
        return ahead(told, asked_at)


async def _told(question: Awaitable[Mapping[Any, Any]]) -> Mapping[Any, Any]:
    """Return the answer, empty where the question is forbidden or not known."""
    try:
        return await question
    except ResponseError:
        return {}
    except ERRORS as exc:
        raise _unusable(exc) from exc


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _unusable(exc: Exception) -> Unusable:
    trouble = explain(exc)
    return Unusable(f"Redis cannot be used: {trouble.meaning}", trouble.advice)
