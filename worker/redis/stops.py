"""What operators have stopped, as Redis knows it: one hash for each engine, without an expiry."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast

from worker.domain import foreign
from worker.domain.stops import KINDS, Kind, Stop, Stops
from worker.redis.connect import Client
from worker.redis.keys import stem
from worker.redis.runner import Runner

SCHEMA = 1
"""Of one stop. A newer version's is left alone and said, but not obeyed: nobody here knows what it means."""


class RedisStops:
    """Implements `ports.stops.StopBook` for one engine. Fields are `<kind>:<name>`, `all:` for everything."""

    def __init__(self, redis: Client, *, prefix: str, engine: str) -> None:
        self._redis = redis
        self._runner = Runner(redis)
        self._name = f"{stem(prefix, engine)}:stops"

    async def read(self) -> Stops:
        """See `ports.stops.StopBook.read`."""
        fields = cast("Mapping[str, str]", await self._runner.command(self._redis.hgetall(self._name)))
        read = [_read(field, text) for field, text in sorted(fields.items())]
        known = tuple(each for each in read if isinstance(each, Stop))
        return Stops(known, tuple(each for each in read if isinstance(each, str)))

    async def stop(self, stop: Stop) -> None:
        """See `ports.stops.StopBook.stop`."""
        said = {"by": stop.by, "since": stop.since.isoformat(), "reason": stop.reason, "now": stop.now}
        text = json.dumps({"schema": SCHEMA, **said})
        await self._runner.command(self._redis.hset(self._name, _field(stop.kind, stop.name), text))

    async def lift(self, kind: Kind, name: str) -> bool:
        """See `ports.stops.StopBook.lift`."""
        return bool(await self._runner.command(self._redis.hdel(self._name, _field(kind, name))))


def _field(kind: Kind, name: str) -> str:
    return f"{kind}:{name}"


def _read(field: str, text: str) -> Stop | str:
    """Read one stop; a line about it where that cannot be."""
    kind, _, name = field.partition(":")
    try:
        record = foreign.read(text)
        if kind not in KINDS or record["schema"] != SCHEMA:
            return f"the stop {field!r} is a newer worker's, and not obeyed by this one: update it"
        since = datetime.fromisoformat(record["since"]).astimezone(UTC)
        return Stop(kind, name, str(record["by"]), since, str(record.get("reason", "")), record.get("now") is True)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return f"the stop {field!r} cannot be read, and is not obeyed: order it again, or lift it"
