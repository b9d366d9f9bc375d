"""The scripted model server from outside: what it has seen, and orders to it, by its control interface."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.benchmarks.answer import ANSWER

QUESTION = "responses.create"


@dataclass(frozen=True, slots=True)
class Provider:
    """The server at this control address."""

    url: str
    session: aiohttp.ClientSession

    async def reset(self) -> None:
        """Forget everything, and answer every question with the one answer."""
        await self._order("POST", "reset")
        await self._order("POST", "answers", {"answers": [{"pattern": "", "text": ANSWER}]})

    async def spoil(self, *rules: Mapping[str, Any]) -> None:
        """Add rules that spoil questions."""
        await self._order("POST", "faults", [{"call": QUESTION, **rule} for rule in rules])

    async def spoiled(self) -> int:
        """Return how many questions the rules have spoiled."""
        return sum(rule["hits"] for rule in (await self._order("GET", "faults"))["rules"])

    async def asked(self) -> int:
        """Return how many questions came, spoiled ones included."""
        return int((await self._order("GET", "counts"))["calls"].get(QUESTION, 0))

    async def questions(self) -> list[dict[str, Any]]:
        """Return the record of the questions, in order of arrival."""
        record = await self._order("GET", f"requests?call={QUESTION}")
        return list(record["requests"])

    async def _order(self, method: str, path: str, body: Any = None) -> Any:
        async with self.session.request(method, f"{self.url}/{path}", json=body) as reply:
            return await reply.json()


@asynccontextmanager
async def reach(url: str) -> AsyncIterator[Provider]:
    """Open connections to a server's control interface; bad replies raise aiohttp.ClientResponseError."""
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        yield Provider(url, session)
