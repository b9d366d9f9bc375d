"""Tickets in Redis: a key for each, that is gone when it is taken."""

from datetime import timedelta
from typing import cast

from worker.redis.connect import Client
from worker.redis.runner import Runner, ms


class RedisTickets:
    """Implements `ports.tickets.Tickets` for every engine's workers."""

    def __init__(self, redis: Client, *, prefix: str) -> None:
        self._redis = redis
        self._runner = Runner(redis)
        self._prefix = prefix

    async def keep(self, name: str, text: str, life: timedelta) -> None:
        """See `ports.tickets.Tickets.keep`."""
        await self._runner.command(self._redis.set(self._key(name), text, px=ms(life)))

    async def take(self, name: str) -> str | None:
        """See `ports.tickets.Tickets.take`."""
        # One command, so that of two who come with the same ticket one gets in. Sent again after its reply was lost, it
        # finds nothing: then the page fetches another ticket.
        return cast("str | None", await self._runner.command(self._redis.getdel(self._key(name))))

    def _key(self, name: str) -> str:
        return f"{self._prefix}:{{ticket:{name}}}"
