"""A question whose answer somebody may watch being written."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from worker.domain.threads import Answer
from worker.errors import BadRequest
from worker.ports.providers import Watcher
from worker.providers.client import answered
from worker.providers.forms import NOT_THE_FORM, NOT_THE_SCHEMA
from worker.providers.streams import Telling

Put = Callable[[Mapping[str, Any], Telling | None], Awaitable[Answer]]
"""Puts the question, with this added to the request; somebody to tell where that has the reply streamed."""


class Streaming:
    """Which way each model takes to have its reply streamed; one that takes none is asked as if nobody watched."""

    def __init__(self, *ways: Mapping[str, Any]) -> None:
        self._ways = ways
        self._refused: dict[str, int] = {}

    async def answer(self, put: Put, model: str, watcher: Watcher | None) -> Answer:
        """Have the answer, and count how it ends; a watcher has heard all of its text then."""
        if watcher is None:
            return await answered(put({}, None))
        telling = Telling(watcher)
        return telling.settle(await answered(self._first_taken(put, model, telling)))

    async def _first_taken(self, put: Put, model: str, telling: Telling) -> Answer:
        """Ask for a stream, and once more as ever if that is refused, which then certainly did not run.

        Whether it was for the stream only the other request tells.
        """
        way = self._refused.get(model, 0)
        if way == len(self._ways):
            return await put({}, None)
        try:
            return await put(self._ways[way], telling)
        except NOT_THE_FORM:
            raise
        except BadRequest as refused:
            if refused.param in NOT_THE_SCHEMA:
                raise
        answer = await put({}, None)
        # Only now: the same question was taken without this way, so that it was the way which the server refused.
        self._refused[model] = way + 1
        return answer
