"""HTTP to Zep: one pool of connections, limits, a breaker, and no answer that was not looked at.

| answer                                                              | means                                        |
|---------------------------------------------------------------------|----------------------------------------------|
| no connection, none in time, one cut short or too long              | MemoryDown                                   |
| 3xx (never followed: another host would get our key), 408, 429, 5xx | MemoryDown, with what Retry-After says       |
| a success without JSON; 400, 404, 409 without Zep's own error       | MemoryDown: a gateway's page                 |
| 401, 403                                                            | KeyRefused                                   |
| 400, 404, 409 with Zep's own error                                  | a Reply: its caller knows what it means      |
| any other 4xx                                                       | MemoryRefused                                |
"""

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, Literal, Self
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from worker.domain import foreign
from worker.errors import MemoryDown, MemoryRefused
from worker.runtime.bodies import read_most
from worker.runtime.breaker import Breaker, BreakerOpen
from worker.runtime.version import USER_AGENT
from worker.zep.refusals import KeyRefused

Dialect = Literal["v2", "v4"]

LARGEST_ANSWER: Final = 8_000_000
"""Bytes: a hundred of the longest messages have a fifth of it."""
LONGEST_WAIT: Final = timedelta(hours=1)
"""However long Zep asks us to wait."""
LONGEST_REASON: Final = 300
MOST_CONNECTIONS: Final = 20
_HALVES: Final = re.compile("[\ud800-\udfff]")
_LIMITS: Final = aiohttp.ClientTimeout(total=10, sock_connect=3)
_ANSWERED: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT})
_DENIED: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_PASSING: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})


@dataclass(frozen=True, slots=True)
class Connection:
    """Where Zep is, and whose memory it keeps for us.

    `url` is without `/api`. `owner` begins the ids of our users, and stands in their metadata: two installations that
    share a project must not share it.
    """

    key: str = field(repr=False)
    dialect: Dialect
    url: str = "https://api.getzep.com"
    owner: str = "assistant-worker"


@dataclass(frozen=True, slots=True)
class Reply:
    """What Zep itself said: a success, or one of the refusals that have a meaning of their own."""

    status: int
    said: Any

    @property
    def done(self) -> bool:
        """Whether it is a success."""
        return self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def missing(self) -> bool:
        """Whether there is no such thing, by Zep's own word."""
        return self.status == HTTPStatus.NOT_FOUND

    @property
    def conflicts(self) -> bool:
        """Whether something stands against it: it may exist already, or somebody else is at it."""
        return self.status == HTTPStatus.CONFLICT

    def table(self) -> Mapping[str, Any]:
        """Return the object of a success. Raises MemoryDown if it is another value, MemoryRefused for a refusal."""
        said = self._value()
        if not isinstance(said, dict):
            raise MemoryDown("Zep's answer is no JSON object where one belongs")
        return said

    def rows(self, name: str | None = None) -> list[Mapping[str, Any]]:
        """Return the objects of a list, the answer itself or what it has by this name, as `table` does."""
        listed = self._value() if name is None else self.table().get(name)
        if listed is None:  # an empty list, as Go writes it
            return []
        if not isinstance(listed, list):
            raise MemoryDown("Zep's answer has no list where one belongs")
        return [each for each in listed if isinstance(each, dict)]

    def text(self, name: str) -> str:
        """Return a text that has to be there, as `table` does."""
        value = self.table().get(name)
        if not isinstance(value, str) or not value:
            raise MemoryDown(f"Zep's answer has no {name}")
        return value

    def refused(self) -> MemoryRefused | MemoryDown:
        """Say what a refusal means to whoever has no other meaning for it."""
        # Not in its words: they may quote what was to be remembered, and this comes into logs.
        reason = f"Zep answered {self.status}{_code(self.said)}"
        return MemoryDown(reason, status=self.status) if self.conflicts else MemoryRefused(reason)

    def _value(self) -> Any:
        if not self.done:
            raise self.refused()
        return self.said


class Transport:
    """Sends requests as whom the key is of. Make it by `open`."""

    def __init__(self, session: aiohttp.ClientSession, base: str, breaker: Breaker) -> None:
        self._session = session
        self._base = base
        self._breaker = breaker

    @classmethod
    @asynccontextmanager
    async def open(cls, connection: Connection, breaker: Breaker) -> AsyncIterator[Self]:
        """Make the pool; nothing is reached yet."""
        headers = {
            "User-Agent": USER_AGENT,
            "Accept": "application/json",
            "Authorization": f"Api-Key {connection.key}",
        }
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MOST_CONNECTIONS),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=_LIMITS,
        ) as session:
            yield cls(session, f"{connection.url.rstrip('/')}/api/{connection.dialect}", breaker)

    async def send(
        self,
        method: str,
        *path: str,
        body: Any = None,
        query: Mapping[str, str | int] | None = None,
        key: str | None = None,
    ) -> Reply:
        """Send once, and return what Zep said; see above for what is raised. `key` is that of idempotency.

        The request may have had its effect although MemoryDown is raised.
        """
        try:
            first = self._breaker.enter()
        except BreakerOpen as exc:
            raise MemoryDown("Zep is not asked now, as it could not be reached", retry_after=exc.wait) from None
        try:
            reply = await self._once(method, self._address(path, query), body, key)
        except MemoryDown as exc:
            self._breaker.failed(exc.retry_after, first=first)
            raise
        except MemoryRefused:
            self._breaker.answered(first=first)
            raise
        except BaseException:  # broken off, or unforeseen: a first one that never ends would be the last one, too
            self._breaker.left(first=first)
            raise
        self._breaker.answered(first=first)
        return reply

    def _address(self, path: tuple[str, ...], query: Mapping[str, str | int] | None) -> URL:
        parts = "/".join(quote(each, safe="") for each in path)
        return URL(f"{self._base}/{parts}{f'?{urlencode(query)}' if query else ''}", encoded=True)

    async def _once(self, method: str, address: URL, body: Any, key: str | None) -> Reply:
        headers = {} if key is None else {"Idempotency-Key": key}
        # In ASCII, as json writes it by itself: half a surrogate pair cannot be encoded as UTF-8.
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        try:
            async with self._session.request(
                method, address, data=data, headers=headers, allow_redirects=False
            ) as response:
                content = await read_most(response.content.iter_any(), LARGEST_ANSWER)
                return _read(response.status, response.headers, content)
        except (aiohttp.ClientError, OSError) as exc:  # TimeoutError is one
            text = f"{type(exc).__name__}: {exc}"[:LONGEST_REASON]
            raise MemoryDown(f"Zep at {address.host} gives no answer ({text})") from exc


def _read(status: int, headers: Mapping[str, str], content: bytes | None) -> Reply:
    if status in _DENIED:
        raise KeyRefused(f"Zep answered {status}: it does not take the key, or denies it a right")
    is_refusal = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _PASSING
    if status >= HTTPStatus.MULTIPLE_CHOICES and not is_refusal:
        raise MemoryDown(f"Zep answered {status}", retry_after=retry_after(headers), status=status)
    if content is None:
        raise MemoryDown(f"Zep's answer has more than {LARGEST_ANSWER} bytes")
    said = _said(content)
    if status < HTTPStatus.MULTIPLE_CHOICES:
        if said is None and content.strip():
            raise MemoryDown(f"something that is not Zep answered {status}")
        return Reply(status, said)
    if status not in _ANSWERED:
        raise MemoryRefused(f"Zep answered {status}{_code(said)}")
    if not _is_own(said):
        raise MemoryDown(f"something that is not Zep answered {status}", status=status)
    return Reply(status, said)


def _said(content: bytes) -> Any:
    try:
        said = foreign.read_flat(content)
        text = json.dumps(said, ensure_ascii=False)
        if _HALVES.search(text):  # of characters: in an id they cannot be sent back, in a text not be stored
            said = foreign.read_flat(foreign.whole(text))
    except (ValueError, RecursionError):
        return None
    return said


def _is_own(said: Any) -> bool:
    """Whether this is an error as Zep writes it: v2 has a message, v4 an error with one."""
    match said:
        case {"message": str()} | {"error": {"message": str()}} | {"error": {"code": str()}}:
            return True
    return False


def _code(said: Any) -> str:
    """Return the code of an error, if it is a word."""
    match said:
        case {"error": {"code": str(code)}} if re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,59}", code):
            return f" ({code})"
    return ""


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """How long Zep asks us to wait, at most an hour; None if it does not say so in earnest."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return min(timedelta(seconds=min(int(value[:9]), 10**6)), LONGEST_WAIT)
    try:
        left = parsedate_to_datetime(value) - datetime.now(UTC)
    except (ValueError, TypeError, OverflowError):  # no date, one without a zone, or one of no time that there is
        return None
    return min(max(left, timedelta(0)), LONGEST_WAIT)
