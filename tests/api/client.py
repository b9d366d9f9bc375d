"""A client of the API, with a token."""

import json
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from worker.domain.processes import Calls

OPERATOR = "operator-0123456789abcdef"
VIEWER = "viewer-0123456789abcdef"
GUEST = "guest-0123456789abcdef"
TOKENS = json.dumps(
    {
        OPERATOR: "operator",
        VIEWER: {"role": "viewer", "tenants": ["north"]},
        GUEST: {"role": "viewer", "instances": ["instance-a"]},
    }
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Any
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True, slots=True)
class Api:
    """Asks with one token; None asks without."""

    session: aiohttp.ClientSession
    token: str | None

    async def get(self, path: str | URL, method: str = "GET", **options: Any) -> Answer:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        headers |= options.pop("headers", {})
        async with self.session.request(method, path, headers=headers, **options) as response:
            return Answer(response.status, response.headers, await response.text(errors="replace"))


class Nobody:
    """An engine in which no process calls another."""

    async def called(self, _: str) -> Calls:
        return Calls([])


NO_CALLS = Nobody()
