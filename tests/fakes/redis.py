"""Redis by fakeredis, which runs our real Lua, and refuses what a cluster would: a script over several slots."""

from typing import Any

import fakeredis
from fakeredis.commands_mixins.scripting_mixin import ScriptingCommandsMixin
from redis.crc import key_slot


class _Compiled:
    """fakeredis' Lua, which would read each script anew and collect garbage after each: half of its time."""

    def __init__(self, lua: Any) -> None:
        self._lua = lua
        self._functions: dict[bytes | str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lua, name)

    def execute(self, script: bytes | str) -> Any:
        # What it keeps is small, and Lua collects by itself.
        if script == "collectgarbage()":
            return None
        if script not in self._functions:
            self._functions[script] = self._lua.compile(script)
        return self._functions[script]()


_lua_of = ScriptingCommandsMixin._get_server_runtime


def _compiled(mixin: ScriptingCommandsMixin, server: Any) -> Any:
    lua = _lua_of(mixin, server)
    if not isinstance(lua, _Compiled):
        server._lua_runtime = lua = _Compiled(lua)
    return lua


# fakeredis has no place where one could hand in a Lua of one's own.
ScriptingCommandsMixin._get_server_runtime = _compiled  # type: ignore[assignment]


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
