"""The seats of one provider's account in Redis: under a hash tag of their own, whichever engine they are for."""

import random
from datetime import timedelta

from worker.domain.providers import ProviderSpec
from worker.redis.connect import Client
from worker.redis.runner import Runner, ms

MINUTE = ms(timedelta(minutes=1))
KEPT = ms(timedelta(hours=2))
"""How long a provider's pause is remembered if no call comes meanwhile; as long as the scripts keep the rest."""


class RedisSeats:
    """Implements `ports.limits.Seats` for a provider with limits. `lease` is a taken seat's life without renewal.

    The account's name is a digest of address and key, with the prefix as its salt.
    """

    def __init__(self, redis: Client, *, prefix: str, spec: ProviderSpec, lease: timedelta) -> None:
        self._runner = Runner(redis)
        self._limits = spec.limits
        paces = (spec.limits.requests_per_minute, spec.limits.tokens_per_minute)
        self._paces = [f"{MINUTE / each:.6f}" if each else "0" for each in paces]
        """Milliseconds for a request, and for a token of text."""
        self._lease = ms(lease)
        # In the order of take_seat.lua's KEYS; the other scripts get theirs by the place here.
        names = ("meters", "kept", "kept_for", "shares", "waiting", "taken", "taken_for")
        self._keys = [f"{prefix}:{{limits:{spec.name}:{spec.account(prefix)}}}:{name}" for name in names]

    async def take(self, task_id: str, instance: str, token: str, tokens: int) -> timedelta | None:
        """See `ports.limits.Seats.take`."""
        who: tuple[str | int, ...] = (task_id, instance, token, tokens if self._limits.tokens_per_minute else 0)
        roll = f"{random.random():.3f}"  # noqa: S311 - spreads repeats, guards nothing
        args = (*who, self._limits.at_once or 0, *self._paces, self._lease, roll)
        taken, wait = await self._runner.run_anew("take_seat", self._keys, *args)
        return None if taken else timedelta(milliseconds=wait)

    async def renew(self, token: str) -> bool:
        """See `ports.limits.Seats.renew`."""
        return bool(await self._runner.run_anew("renew_seat", [self._keys[5]], token, self._lease))

    async def settle(self, token: str, calls: int, tokens: int | None) -> None:
        """See `ports.limits.Seats.settle`."""
        keys = [self._keys[0], *self._keys[5:]]
        args = (token, calls, "" if tokens is None else tokens, *self._paces)
        await self._runner.run_anew("settle_seat", keys, *args)

    async def close(self, wait: timedelta) -> None:
        """See `ports.limits.Seats.close`."""
        await self._runner.run_anew("close_seats", self._keys[:1], ms(wait), KEPT)
