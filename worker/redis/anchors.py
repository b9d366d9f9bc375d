"""Anchors of accounts at a provider, as Redis knows them: one hash for each engine and provider, without an expiry."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

from worker.domain.threads import Anchor
from worker.redis.connect import Client
from worker.redis.formats import CorruptRecord
from worker.redis.keys import stem
from worker.redis.runner import Runner

LEFT = "left"


class RedisAnchors:
    """Implements `ports.accounts.FirstBook` for one engine and one provider. Raises StoreDown."""

    def __init__(self, redis: Client, *, prefix: str, engine: str, provider: str) -> None:
        self._redis = redis
        self._runner = Runner(redis)
        self._name = f"{stem(prefix, engine)}:anchors:{provider}"

    async def anchors(self) -> Mapping[str, Anchor]:
        """See `ports.accounts.Book.anchors`."""
        fields = cast("Mapping[str, str]", await self._runner.command(self._redis.hgetall(self._name)))
        return {name: _read(name, text) for name, text in fields.items()}

    async def note(self, anchors: Sequence[Anchor]) -> None:
        """See `ports.accounts.Book.note`."""
        for each in anchors:
            await self._runner.run("anchor", [self._name], each.id, _written(each), int(each.left))

    async def claim(self, anchor: Anchor, unreadable: Sequence[str]) -> str:
        """See `ports.accounts.FirstBook.claim`."""
        return str(await self._runner.run("claim_anchor", [self._name], anchor.id, _written(anchor), *unreadable))


def _written(anchor: Anchor) -> str:
    made_at = anchor.made_at.isoformat()
    return f"{made_at} {LEFT}" if anchor.left else made_at


def _read(name: str, text: str) -> Anchor:
    made_at, _, left = text.partition(" ")
    try:
        return Anchor(name, datetime.fromisoformat(made_at).astimezone(UTC), left == LEFT)
    except ValueError as exc:
        raise CorruptRecord(f"the anchor {name} cannot be read") from exc
