"""Answers that do not change, asked for once."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Keeps the `size` values used last. Several that want the same at once share one load and its failure.

    A failure is not kept. The loads are tasks of the cache, so one caller's cancellation takes nothing from the
    others; `close` ends them.
    """

    def __init__(self, load: Callable[[K], Awaitable[V]], *, size: int) -> None:
        self._load = load
        self._size = size
        self._values: OrderedDict[K, V] = OrderedDict()
        self._loading: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K) -> V:
        """Return the value, or raise what its load raised."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        loading = self._loading.get(key)
        if loading is None:
            loading = asyncio.create_task(self._fill(key), name=f"load {key}")
            self._loading[key] = loading
            loading.add_done_callback(lambda task: self._loaded(key, task))
        # Who is cancelled gives up waiting, not the load that others wait for.
        return await asyncio.shield(loading)

    async def close(self) -> None:
        """End what still loads."""
        loading = list(self._loading.values())
        for task in loading:
            task.cancel()
        await asyncio.gather(*loading, return_exceptions=True)

    async def _fill(self, key: K) -> V:
        value = await self._load(key)
        # Before the load is forgotten, which `_loaded` does a turn of the loop later: so nobody loads again in between.
        self._values[key] = value
        while len(self._values) > self._size:
            self._values.popitem(last=False)
        return value

    def _loaded(self, key: K, task: asyncio.Task[V]) -> None:
        del self._loading[key]
        if not task.cancelled():
            task.exception()  # taken note of, also when every caller was cancelled meanwhile
