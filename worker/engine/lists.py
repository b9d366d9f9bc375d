"""Lists of any length, page by page: engines may be set up to refuse answers without a limit, or above their own."""

from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from worker.engine.failures import describe
from worker.engine.transport import Transport
from worker.errors import EngineDown

ROWS = 200
FEWEST_ROWS = 10
"""An engine's own limit is not told; pages become smaller down to this when they are refused."""


class Lists:
    """Asks one engine for lists."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        # For all lists: what an engine takes at once is one setting of its own (queryMaxResultsLimit).
        self._rows = ROWS

    async def rows(
        self, path: str, query: Mapping[str, str] | None = None, body: Any = None, *, most: int | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the rows, `most` at most: by GET, or by POST where there is a body. Raises EngineDown.

        Where no order is asked for, engines sort by id.
        """
        first = 0
        # By offset, as engines have no cursor: a row that goes between two pages may hide another one until the next
        # look.
        while most is None or first < most:
            size = self._rows if most is None else min(self._rows, most - first)
            page = await self._page(path, query or {}, body, first, size)
            if page is None:  # too large a page
                continue
            for row in page:
                yield row
            first += len(page)
            if len(page) < size:
                return

    async def _page(
        self, path: str, query: Mapping[str, str], body: Any, first: int, size: int
    ) -> list[dict[str, Any]] | None:
        asked = f"{path}?{urlencode({**query, 'firstResult': first, 'maxResults': size})}"
        reply = await self._transport.send("GET" if body is None else "POST", asked, body)
        if reply.status == HTTPStatus.BAD_REQUEST and size > FEWEST_ROWS:
            # A 400 may have another cause: then the smallest page meets it as well, and that counts.
            self._rows = max(FEWEST_ROWS, min(self._rows, size) // 2)
            return None
        if reply.status != HTTPStatus.OK:
            raise EngineDown(f"the engine does not answer {path}: {describe(reply)}")
        return [row for row in reply.value(list) if isinstance(row, dict)]
