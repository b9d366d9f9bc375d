"""How many requests persons and tokens have made, as Redis knows it: one key for each, in a slot of its own."""

from datetime import timedelta

from worker.ports.rates import Rate
from worker.redis.connect import Client
from worker.redis.runner import Runner


class RedisRates:
    """Implements `ports.rates.Rates` for every engine's workers."""

    def __init__(self, redis: Client, *, prefix: str) -> None:
        self._runner = Runner(redis)
        self._prefix = prefix

    async def take(self, name: str, rate: Rate) -> timedelta:
        """See `ports.rates.Rates.take`."""
        keys = [f"{self._prefix}:{{rate:{name}}}"]
        each = f"{1000 / rate.per_second:.6f}"
        return timedelta(milliseconds=int(await self._runner.run_anew("take_request", keys, each, rate.burst)))
