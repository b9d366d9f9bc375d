"""What is to be done about conversations later: orders to erase, and ends that wait for their time."""

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import cast

from worker.conversations import Subject
from worker.erasure import Receipt
from worker.threads.connect import Client
from worker.threads.keys import stem
from worker.threads.receipts import dump_receipt, load_receipt
from worker.threads.record import CorruptRecord
from worker.threads.runner import Runner

RECEIPTS_FOR = timedelta(days=90)
"""How long a complete receipt can be asked for."""


class RedisLedger:
    """Implements `erasure.Ledger` for one engine."""

    def __init__(self, redis: Client, *, prefix: str, engine: str) -> None:
        self._redis = redis
        self._runner = Runner(redis)
        self._engine = engine
        self._stem = stem(prefix, engine)
        self._orders = f"{self._stem}:erasures"
        self._noted = f"{self._stem}:ended"

    async def keep(self, receipt: Receipt) -> None:
        """See `erasure.Ledger.keep`."""
        text = dump_receipt(receipt)
        if receipt.completed_at is None:
            await self._runner.command(self._redis.hset(self._orders, receipt.id, text))
            return
        await self._runner.command(self._redis.set(self._receipt(receipt.id), text, ex=RECEIPTS_FOR))
        await self._runner.command(self._redis.hdel(self._orders, receipt.id))

    async def receipt(self, order: str) -> Receipt | None:
        """See `erasure.Ledger.receipt`. The open order counts, if there is a complete one of the same id as well."""
        text = await self._runner.command(self._redis.hget(self._orders, order))
        text = text or await self._runner.command(self._redis.get(self._receipt(order)))
        return load_receipt(text) if text else None

    async def open_orders(self) -> list[Receipt]:
        """See `erasure.Ledger.open_orders`."""
        texts = await self._runner.command(self._redis.hvals(self._orders))
        return sorted(map(load_receipt, texts), key=lambda receipt: receipt.ordered_at)

    async def exists(self) -> bool:
        """See `erasure.Ledger.exists`."""
        return bool(await self._runner.command(self._redis.exists(self._noted)))

    async def begin(self) -> None:
        """See `erasure.Ledger.begin`."""
        await self._runner.command(self._redis.set(self._noted, "1"))

    async def note(self, queue: str, ends: Mapping[Subject, datetime]) -> None:
        """See `erasure.Ledger.note`."""
        if ends:
            members = {_member(subject): ended.timestamp() for subject, ended in ends.items()}
            await self._runner.command(self._redis.zadd(self._queue(queue), members, nx=True))

    async def due(self, queue: str, until: datetime) -> dict[Subject, datetime]:
        """See `erasure.Ledger.due`."""
        rows = await self._runner.command(
            self._redis.zrange(self._queue(queue), "-inf", str(until.timestamp()), byscore=True, withscores=True)
        )
        scored = cast("list[tuple[str, float]]", rows)
        return {self._subject(member): datetime.fromtimestamp(score, UTC) for member, score in scored}

    async def drop(self, queue: str, subjects: Collection[Subject]) -> None:
        """See `erasure.Ledger.drop`."""
        if subjects:
            await self._runner.command(self._redis.zrem(self._queue(queue), *map(_member, subjects)))

    async def lock(self, token: str, lease: timedelta) -> bool:
        """See `erasure.Ledger.lock`."""
        lease_ms = int(lease.total_seconds() * 1000)
        return bool(await self._runner.run("reserve", [f"{self._stem}:round"], "round", token, lease_ms))

    async def unlock(self, token: str) -> None:
        """See `erasure.Ledger.unlock`."""
        await self._runner.run("renew", [f"{self._stem}:round"], token, 1)

    def _receipt(self, order: str) -> str:
        return f"{self._stem}:receipt:{order}"

    def _queue(self, queue: str) -> str:
        return f"{self._stem}:ended:{queue}"

    def _subject(self, member: str) -> Subject:
        try:
            instance, business_key = json.loads(member)
            return Subject(self._engine, instance, business_key)
        except (ValueError, TypeError) as exc:
            raise CorruptRecord("an end that was noted cannot be read") from exc


def _member(subject: Subject) -> str:
    return json.dumps([subject.instance, subject.business_key])
