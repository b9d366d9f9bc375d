"""What operators have stopped, as Redis knows it: one hash for each engine, without an expiry."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast

from worker.domain import foreign
from worker.domain.stops import KINDS, Kind, Stop, Stops
from worker.errors import StopOfOthers
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
        text = json.dumps({"schema": SCHEMA, **said, "limited": stop.limited})
        await self._change(_field(stop.kind, stop.name), text, limited=stop.limited)

    async def lift(self, kind: Kind, name: str, *, limited: bool = False) -> bool:
        """See `ports.stops.StopBook.lift`."""
        return await self._change(_field(kind, name), "", limited=limited)

    async def _change(self, field: str, text: str, *, limited: bool) -> bool:
        done = int(await self._runner.run("change_stop", [self._name], field, text, int(limited)))
        if done < 0:
            raise StopOfOthers(
                "somebody whose rights are not limited to tenants has stopped it; only such can change that"
            )
        return bool(done)


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
        now, limited = record.get("now") is True, record.get("limited") is True
        return Stop(kind, name, str(record["by"]), since, str(record.get("reason", "")), now, limited)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return f"the stop {field!r} cannot be read, and is not obeyed: order it again, or lift it"
