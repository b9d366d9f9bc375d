"""How many feeds persons have open, as Redis knows it: one hash for each person, with a field for each worker."""

from worker.ports.admission import TOLD_WITHIN
from worker.redis.connect import Client
from worker.redis.runner import Runner, ms


class RedisFeedCounts:
    """Implements `ports.admission.FeedCounts` for one worker; those of every engine count together."""

    def __init__(self, redis: Client, *, prefix: str, engine: str, worker: str) -> None:
        self._runner = Runner(redis)
        self._prefix = prefix
        self._worker = f"{engine}/{worker}"

    async def tell(self, person: str, count: int, most: int | None = None) -> bool:
        """See `ports.admission.FeedCounts.tell`."""
        keys = [f"{self._prefix}:{{feeds:{person}}}"]
        limit = "" if most is None else most
        return bool(await self._runner.run_anew("tell_feeds", keys, self._worker, count, limit, ms(TOLD_WITHIN)))
