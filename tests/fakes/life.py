"""A worker's life on fakes: where it ends, all its ports fall silent, as after kill -9."""

import asyncio
from inspect import iscoroutinefunction
from typing import Any, TypeVar, cast

P = TypeVar("P")


class Life:
    """Ends before or after the nth call of a port's method, such as `after:threads.bind`; nothing is tidied up then."""

    def __init__(self, end: str = "", nth: int = 1) -> None:
        self.is_over = False
        self.buried = asyncio.Event()
        self._end = end
        self._left = nth

    def lives(self, name: str, port: P) -> P:
        """Return the port as a worker with this life has it."""
        return cast("P", _Port(self, name, port))

    async def reach(self, place: str) -> None:
        self._left -= place == self._end
        self.is_over |= self._left == 0 and place == self._end
        if self.is_over:
            await self.buried.wait()
            raise asyncio.CancelledError


class _Port:
    def __init__(self, life: Life, name: str, port: object) -> None:
        self._life, self._name, self._port = life, name, port

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._port, method)
        if not iscoroutinefunction(found):
            return found

        async def call(*args: Any, **kwargs: Any) -> Any:
            await self._life.reach(f"before:{self._name}.{method}")
            result = await found(*args, **kwargs)
            await self._life.reach(f"after:{self._name}.{method}")
            return result

        return call
