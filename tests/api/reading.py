"""A client that reads a feed as server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.feeds_page import hold_event


@dataclass(frozen=True, slots=True)
class Heard:
    """One event."""

    kind: str
    data: Any
    id: str


@dataclass(slots=True)
class EventStream:
    """The events of one response. `last_id` is what a browser would send when it connects again."""

    response: aiohttp.ClientResponse
    last_id: str = ""
    beats: int = 0
    heard: list[Heard] = field(default_factory=list)

    async def next(self, *kinds: str, within: float = 20) -> Heard:
        """Read until an event of one of these kinds, of any kind if none is named."""
        fields: dict[str, str] = {}
        while True:
            line = (await _within(self.response.content.readline(), within)).decode()
            if not line:
                raise EOFError("the feed is over")
            name, _, value = line.rstrip("\n").partition(":")
            if line == "\n" and "data" in fields:
                self.last_id = fields.get("id", self.last_id)
                self.heard.append(Heard(fields["event"], json.loads(fields["data"]), fields.get("id", "")))
                hold_event(self.heard[-1].kind, self.heard[-1].data, self.heard[-1].id)
                if not kinds or self.heard[-1].kind in kinds:
                    return self.heard[-1]
                fields = {}
            elif name:
                fields[name] = value.removeprefix(" ")
            elif line != "\n":
                self.beats += 1


async def _within(waiting: Any, seconds: float) -> bytes:
    async with asyncio.timeout(seconds):
        read: bytes = await waiting
        return read


@asynccontextmanager
async def event_stream(
    session: aiohttp.ClientSession, path: str, token: str | None = None, last_id: str = ""
) -> AsyncIterator[EventStream]:
    """Open a feed."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    headers |= {"Last-Event-ID": last_id} if last_id else {}
    async with session.get(path, headers=headers) as response:
        assert response.status == 200, await response.text()
        yield EventStream(response)
