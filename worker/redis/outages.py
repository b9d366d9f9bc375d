"""Outages of one provider's account in Redis: one hash, which ends by itself where no worker probes any more."""

from datetime import UTC, datetime, timedelta

from worker.domain.outages import Found, Outage
from worker.domain.providers import ProviderSpec
from worker.redis.connect import Client
from worker.redis.runner import Runner, ms

PROBE_LEASE = ms(timedelta(seconds=10))
"""How long a worker that has died keeps others from probing. A living one is heard of every 2 s."""
LIFE = ms(timedelta(seconds=30))
"""How long an outage is believed that no worker probes."""
REST = ms(timedelta(seconds=4))
"""How long a worker leaves the probe to others that wait after one in vain: time for each of them to look."""
LONGEST_REASON = 1000


class RedisOutages:
    """Implements `ports.outages.Outages` for every engine's workers."""

    def __init__(self, redis: Client, *, prefix: str, spec: ProviderSpec, worker: str) -> None:
        self.worker = worker
        self._redis = redis
        self._runner = Runner(redis)
        self._name = f"{prefix}:{{outage:{spec.name}:{spec.account(prefix)}}}"

    async def look(self, *, probes: bool) -> Outage | None:
        """See `ports.outages.Outages.look`."""
        return await self._run("", "", 0, probes=probes)

    async def note(self, found: Found, reason: str, tries: int) -> Outage | None:
        """See `ports.outages.Outages.note`."""
        return await self._run(found, reason, tries, probes=True)

    async def failed(self, found: Found, reason: str, tries: int) -> None:
        """See `ports.outages.Outages.failed`."""
        await self._runner.run_anew("probed", [self._name], self.worker, found, reason[:LONGEST_REASON], tries, REST)

    async def over(self) -> None:
        """See `ports.outages.Outages.over`."""
        await self._runner.command(self._redis.delete(self._name))

    async def _run(self, found: str, reason: str, tries: int, *, probes: bool) -> Outage | None:
        args = (self.worker, found, reason[:LONGEST_REASON], tries, int(probes), PROBE_LEASE, LIFE, REST)
        known = await self._runner.run_anew("outage", [self._name], *args)
        if not known:
            return None
        what, said, by, since, counted, ours = known
        try:
            at = datetime.fromtimestamp(since / 1000, UTC)
        except (ValueError, OverflowError, OSError) as exc:
            await self._runner.drop([self._name], f"since {since} ms: {type(exc).__name__}")
            return None
        return Outage("paused" if what == "paused" else "away", said, by, at, counted, ours == 1)
