"""Redis by fakeredis, which runs our real Lua, and refuses what a cluster would: a script over several slots."""

from typing import Any

import fakeredis
from redis.crc import key_slot


class StrictRedis(fakeredis.FakeAsyncRedis):
    """A server that knows nothing at first. `trouble` are errors to raise, one for each script that comes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(decode_responses=True, **options)
        self.trouble: list[Exception] = []
        self.scripts = 0

    async def evalsha(self, sha: str, numkeys: int, *keys_and_args: Any) -> Any:
        self._check(numkeys, keys_and_args)
        return await super().evalsha(sha, numkeys, *keys_and_args)

    async def eval(self, script: str, numkeys: int, *keys_and_args: Any) -> Any:
        self._check(numkeys, keys_and_args)
        return await super().eval(script, numkeys, *keys_and_args)

    def _check(self, numkeys: int, keys_and_args: tuple[Any, ...]) -> None:
        slots = {key_slot(str(key).encode()) for key in keys_and_args[:numkeys]}
        assert len(slots) == 1, f"a script wants keys of {len(slots)} slots: {keys_and_args[:numkeys]}"
        self.scripts += 1
        if self.trouble:
            raise self.trouble.pop(0)
