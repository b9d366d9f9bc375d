"""Which workers of an engine live, in Redis: one hash, a field for each."""

import json
from collections.abc import Collection
from datetime import timedelta

from worker.domain.fleet import Member
from worker.errors import NewerRecord
from worker.ports.fleet import REMEMBERED
from worker.redis.connect import Client
from worker.redis.formats import SCHEMA, CorruptRecord, opened
from worker.redis.keys import stem, wanted
from worker.redis.runner import Runner, ms


class RedisFleet:
    """Implements `ports.fleet.Presence` for one engine."""

    def __init__(self, redis: Client, *, prefix: str, engine: str, worker: str) -> None:
        self._runner = Runner(redis)
        self._prefix = prefix
        self._engine = engine
        self._worker = worker
        self._name = f"{stem(prefix, engine)}:workers"

    async def show(self, version: str, assistants: Collection[tuple[str, str]]) -> None:
        """See `ports.fleet.Presence.show`."""
        told = json.dumps({"schema": SCHEMA, "version": version, "assistants": sorted(assistants)})
        await self._runner.run("show_worker", [self._name], self._worker, told, ms(REMEMBERED))

    async def workers(self, within: timedelta = REMEMBERED) -> list[Member]:
        """See `ports.fleet.Presence.workers`. One that cannot be read at all has nothing."""
        found = await self._runner.run("workers", [self._name], ms(within))
        return [_member(name, text) for name, text in zip(found[::2], found[1::2], strict=True)]

    async def wanted(self, name: str, version: str) -> timedelta:
        """See `ports.fleet.Presence.wanted`."""
        # For longer than a task waits (`turn/fleet.py`): forgotten before, it would have the wait begin anew for ever.
        key = wanted(self._prefix, self._engine, name, version)
        return timedelta(milliseconds=int(await self._runner.run("wanted", [key], ms(3 * REMEMBERED))))


def _member(name: str, text: str) -> Member:
    try:
        record = opened(text, "what a worker says of itself")
        has = frozenset((str(each), str(version)) for each, version in record["assistants"])
        return Member(name, str(record["version"]), has)
    except NewerRecord:
        return Member(name, "?", frozenset(), newer=True)
    except (CorruptRecord, KeyError, ValueError, TypeError):
        return Member(name, "?", frozenset())
