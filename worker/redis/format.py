"""The format of what Redis keeps for one engine."""

from worker.domain.formats import FORMAT, newer
from worker.redis.connect import Client
from worker.redis.keys import stem
from worker.redis.runner import Runner


class RedisFormat:
    """Implements `ports.formats.Format`. A `format` higher than this version's is for tests."""

    def __init__(self, redis: Client, *, prefix: str, engine: str, format: int = FORMAT) -> None:  # noqa: A002 - its name
        self._runner = Runner(redis)
        self._name = f"{stem(prefix, engine)}:format"
        self._format = format

    async def check(self) -> None:
        """See `ports.formats.Format.check`. Raises StoreDown as well."""
        noted = int(await self._runner.run("format", [self._name], self._format))
        if noted > self._format:
            raise newer("Redis", noted, self._format)
