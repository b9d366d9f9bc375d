"""Turns whose exchanges a sink may not have yet: a list in Redis for each sink, which any worker drains."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Literal, cast

import structlog

from worker.domain.exchanges import TRANSCRIPT, Exchange, Pending
from worker.errors import NewerRecord
from worker.redis.connect import Client
from worker.redis.formats import KNOWN, CorruptRecord, dump_exchange, load_exchange
from worker.redis.keys import Keys, unrecorded
from worker.redis.runner import Runner, ms
from worker.redis.store import ANSWERED_FOR, DONE_FOR
from worker.telemetry.logs import Event

CLAIMED_FOR = timedelta(seconds=30)
"""After this another worker may try what one has taken and not settled."""
LOOKED_AT = 10_000
"""Turns among which some tasks' are looked for; where there are more, nobody can tell."""
DONE, WRITING = 1, 2
"""What recorded.lua says of a turn."""
TOLD = 10_000
"""Turns of a newer worker's that we remember to have spoken of."""

log = structlog.get_logger()


class RedisOutbox:
    """Implements `ports.sinks.Outbox` for one engine."""

    def __init__(self, redis: Client, *, prefix: str, engine: str) -> None:
        self._redis = redis
        self._runner = Runner(redis)
        self._prefix = prefix
        self._engine = engine
        self._told: set[str] = set()

    async def hand_in(self, sink: str, exchange: Exchange, age: timedelta) -> bool:
        """See `ports.sinks.Outbox.hand_in`."""
        keys = Keys.of(self._prefix, exchange.key)
        turn, life = keys.turn(exchange.task_id), ms(ANSWERED_FOR)
        names = [turn, keys.erased, Keys.exchanges(turn, sink)]
        args = (exchange.attempt, dump_exchange(exchange), age // timedelta(microseconds=1), life)
        # Before it, as a death leaves nothing then that nobody looks for; behind it, as one may have looked too soon.
        await self._add(sink, turn)
        taken = await self._runner.run("hand_in", names, *args)
        await self._add(sink, turn)
        if taken == "newer":
            raise NewerRecord("this turn in the journal")
        return bool(taken)

    async def _add(self, sink: str, turn: str) -> None:
        life = "" if sink == TRANSCRIPT else ms(ANSWERED_FOR)
        await self._runner.run("list", [self._list(sink)], turn, life)

    async def claim(self, sink: str, most: int) -> list[Pending]:
        """See `ports.sinks.Outbox.claim`. What nobody can read is dropped, with a line in the log.

        What a newer worker wrote is said once, and stays as it is.
        """
        taken = await self._runner.run("claim", [self._list(sink)], most, ms(CLAIMED_FOR))
        pairs = zip(taken[::2], taken[1::2], strict=True)
        found = [await self._pending(sink, turn, ticket) for turn, ticket in pairs]
        return [pending for pending in found if pending is not None]

    async def settle(self, pending: Pending, recorded: frozenset[int]) -> bool:
        """See `ports.sinks.Outbox.settle`."""
        attempts = sorted(recorded | pending.unreadable)
        names = [Keys.exchanges(pending.turn, pending.sink), pending.turn]
        # The exchange goes before the name: a death in between leaves a name with nothing behind it, which is dropped.
        left = await self._runner.run("recorded", names, ms(DONE_FOR), *attempts)
        if left == DONE:
            await self._due(pending, "")
        return bool(left != WRITING)

    async def postpone(self, pending: Pending, by: timedelta) -> None:
        """See `ports.sinks.Outbox.postpone`."""
        await self._due(pending, ms(by))

    async def backlog(self, sink: str) -> int:
        """See `ports.sinks.Outbox.backlog`."""
        return int(await self._runner.command(self._redis.zcard(self._list(sink))))

    async def has_any(self, sink: str, tasks: Collection[str]) -> bool:
        """See `ports.sinks.Outbox.has_any`."""
        turns = await self._runner.command(self._redis.zrange(self._list(sink), 0, LOOKED_AT - 1))
        return len(turns) == LOOKED_AT or any(Keys.task_of(str(turn)) in tasks for turn in turns)

    def _list(self, sink: str) -> str:
        return unrecorded(self._prefix, self._engine, sink)

    async def _due(self, pending: Pending, by: int | Literal[""]) -> None:
        await self._runner.run("settle", [self._list(pending.sink)], pending.turn, pending.ticket, by)

    async def _pending(self, sink: str, turn: str, ticket: str) -> Pending | None:
        """Read a turn; one that is none is taken off the list, and no other waits for it."""
        empty = Pending(sink, turn, ticket, {})
        try:
            name = Keys.exchanges(turn, sink)
            fields = cast("Mapping[str, str]", await self._runner.command(self._redis.hgetall(name)))
        except CorruptRecord as exc:
            log.error(Event.RECORD_CORRUPT, task_id=Keys.task_of(turn), reason=f"a turn for the {sink}: {exc}")
            await self._due(empty, "")
            return None
        if fields.get("schema", KNOWN) != KNOWN:
            self._tell_newer(turn, NewerRecord(f"a turn for the {sink}"))
            return replace(empty, newer=True)
        return self._read(empty, fields)

    def _read(self, pending: Pending, fields: Mapping[str, str]) -> Pending:
        exchanges, unreadable, newer = {}, set(), False
        for name, text in fields.items():
            kind, _, attempt = name.partition(":")
            if kind != "exchange" or not attempt.isdecimal():
                continue
            try:
                exchanges[int(attempt)] = load_exchange(text, fields.get(f"at:{attempt}", ""))
            except NewerRecord as exc:
                newer = True
                self._tell_newer(pending.turn, exc)
            except CorruptRecord as exc:
                log.error(Event.RECORD_CORRUPT, reason=f"an exchange for the {pending.sink}: {exc}")
                unreadable.add(int(attempt))
        return replace(pending, exchanges=exchanges, unreadable=frozenset(unreadable), newer=newer)

    def _tell_newer(self, turn: str, exc: NewerRecord) -> None:
        if turn not in self._told:
            if len(self._told) == TOLD:
                self._told.clear()
            self._told.add(turn)
            log.warning(Event.RECORD_NEWER, task_id=Keys.task_of(turn), reason=str(exc))
