"""Turns whose exchanges the transcript may not have yet: one list in Redis that any worker drains."""

from collections.abc import Mapping
from datetime import timedelta
from typing import cast

import structlog

from worker.conversations import Pending
from worker.logs import Event
from worker.threads.connect import Client
from worker.threads.keys import unrecorded
from worker.threads.record import CorruptRecord, UnknownSchema, load_exchange
from worker.threads.runner import Runner, ms
from worker.threads.store import DONE_FOR

CLAIMED_FOR = timedelta(seconds=30)
"""After this another worker may try what one has taken and not settled."""

log = structlog.get_logger()


class RedisOutbox:
    """Implements `ports.Outbox` for one engine."""

    def __init__(self, redis: Client, *, prefix: str, engine: str) -> None:
        self._redis = redis
        self._runner = Runner(redis)
        self._list = unrecorded(prefix, engine)

    async def claim(self, most: int) -> list[Pending]:
        """See `ports.Outbox.claim`. What nobody can read is dropped, with a line in the log."""
        taken = await self._runner.run("claim", [self._list], most, ms(CLAIMED_FOR))
        pairs = zip(taken[::2], taken[1::2], strict=True)
        return [await self._pending(turn, ticket) for turn, ticket in pairs]

    async def settle(self, pending: Pending, recorded: frozenset[int]) -> None:
        """See `ports.Outbox.settle`."""
        attempts = sorted(recorded | pending.unreadable)
        over = await self._runner.run("recorded", [pending.turn], ms(DONE_FOR), *attempts)
        if over:
            await self._runner.run("settle", [self._list], pending.turn, pending.ticket, "")

    async def postpone(self, pending: Pending, by: timedelta) -> None:
        """See `ports.Outbox.postpone`."""
        await self._runner.run("settle", [self._list], pending.turn, pending.ticket, ms(by))

    async def backlog(self) -> int:
        """See `ports.Outbox.backlog`."""
        return int(await self._runner.command(self._redis.zcard(self._list)))

    async def _pending(self, turn: str, ticket: str) -> Pending:
        fields = cast("Mapping[str, str]", await self._runner.command(self._redis.hgetall(turn)))
        exchanges, unreadable = {}, set()
        for name, text in fields.items():
            kind, _, attempt = name.partition(":")
            if kind != "exchange" or not attempt.isdigit():
                continue
            try:
                exchanges[int(attempt)] = load_exchange(text, fields.get(f"at:{attempt}", ""))
            except UnknownSchema:
                log.warning(Event.RECORD_CORRUPT, reason="an exchange for the transcript is of a newer version")
            except CorruptRecord as exc:
                log.error(Event.RECORD_CORRUPT, reason=f"an exchange for the transcript: {exc}")
                unreadable.add(int(attempt))
        return Pending(turn, ticket, exchanges, frozenset(unreadable))
