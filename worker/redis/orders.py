"""What is to be done about conversations later: orders to erase, and whom the engine does not know any more."""

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import cast

import structlog

from worker.domain import foreign
from worker.domain.conversations import Subject
from worker.domain.endings import Receipt
from worker.redis.connect import Client
from worker.redis.keys import stem
from worker.redis.receipts import dump_receipt, load_receipt
from worker.redis.runner import Runner, ms
from worker.telemetry.logs import Event

log = structlog.get_logger()

RECEIPTS_FOR = timedelta(days=90)
"""How long a complete receipt can be asked for."""


class RedisOrders:
    """Implements `ports.ending.Orders` for one engine."""

    def __init__(self, redis: Client, *, prefix: str, engine: str) -> None:
        self._redis = redis
        self._runner = Runner(redis)
        self._engine = engine
        self._stem = stem(prefix, engine)
        self._orders = f"{self._stem}:erasures"
        self._missing = f"{self._stem}:missing"

    async def keep(self, receipt: Receipt) -> None:
        """See `ports.ending.Orders.keep`."""
        text = dump_receipt(receipt, await self._runner.command(self._redis.hget(self._orders, receipt.id)))
        if receipt.completed_at is None:
            await self._runner.command(self._redis.hset(self._orders, receipt.id, text))
            return
        # Kept before it is taken off: who dies in between leaves both, and the open one counts.
        await self._runner.command(self._redis.set(self._receipt(receipt.id), text, ex=RECEIPTS_FOR))
        await self._runner.command(self._redis.hdel(self._orders, receipt.id))

    async def receipt(self, order: str) -> Receipt | None:
        """See `ports.ending.Orders.receipt`. The open order counts where there is a complete one as well."""
        text = await self._runner.command(self._redis.hget(self._orders, order))
        if text is None:
            text = await self._runner.command(self._redis.get(self._receipt(order)))
        return None if text is None else load_receipt(text)

    async def open_orders(self) -> list[str]:
        """See `ports.ending.Orders.open_orders`."""
        return sorted(map(str, await self._runner.command(self._redis.hkeys(self._orders))))

    async def watch(self, missing: Collection[Subject], at: datetime) -> None:
        """See `ports.ending.Orders.watch`."""
        found = {_member(subject): at.timestamp() for subject in missing}
        known = cast("list[str]", await self._runner.command(self._redis.zrange(self._missing, 0, -1)))
        # What we cannot read is a newer worker's, who knows whether it is over.
        if over := [member for member in known if member not in found and self._subject(member)]:
            await self._runner.command(self._redis.zrem(self._missing, *over))
        if found:
            # Since when it is missing counts, and not when it was last found to be.
            await self._runner.command(self._redis.zadd(self._missing, found, nx=True))

    async def missing(self) -> Mapping[Subject, datetime]:
        """See `ports.ending.Orders.missing`."""
        rows = await self._runner.command(self._redis.zrange(self._missing, 0, -1, withscores=True))
        scored = cast("list[tuple[str, float]]", rows)
        times = {self._subject(member): datetime.fromtimestamp(score, UTC) for member, score in scored}
        return {subject: at for subject, at in times.items() if subject is not None}

    async def lock(self, token: str, lease: timedelta) -> bool:
        """See `ports.ending.Orders.lock`."""
        return bool(await self._runner.run("reserve", [f"{self._stem}:round"], "round", token, ms(lease)))

    async def unlock(self, token: str) -> None:
        """See `ports.ending.Orders.unlock`."""
        # By the script that asks whose it is: a lock that ran out may be another worker's by now.
        await self._runner.run("renew", [f"{self._stem}:round"], token, 1)

    def _receipt(self, order: str) -> str:
        return f"{self._stem}:receipt:{order}"

    def _subject(self, member: str) -> Subject | None:
        """Read whom a member names; None, and left alone, where that is not of this version. It holds up no other."""
        try:
            instance, business_key, tenants = foreign.read(member)
            subject = Subject(self._engine, instance, business_key, None if tenants is None else frozenset(tenants))
            hash(subject)  # a name may be anything that JSON has
        except (ValueError, TypeError) as exc:
            log.warning(Event.RECORD_CORRUPT, reason=f"whom the engine does not know: {type(exc).__name__}")
            return None
        return subject


def _member(subject: Subject) -> str:
    return json.dumps([subject.instance, subject.business_key, subject.ordered_tenants])
