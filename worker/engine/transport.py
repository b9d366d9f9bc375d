"""HTTP to one engine: a pool of connections, timeouts, authentication, and no reply that was not looked at."""

import json
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from worker.engine.failures import Reply, check, unreachable
from worker.errors import Permanent
from worker.runtime.clock import monotonic
from worker.runtime.version import USER_AGENT

CONNECT_SECONDS = 5.0
ORDINARY = aiohttp.ClientTimeout(total=10, sock_connect=CONNECT_SECONDS)
COMPLETION = aiohttp.ClientTimeout(total=20, sock_connect=CONNECT_SECONDS)
"""Where no asyncAfter stops it, a completion returns only when the steps behind the task have run."""
POLL_MARGIN_SECONDS = 5.0
BODY_SECONDS = 20.0
"""What a poll's reply may take on its way: its tasks are locked for us already, so it should not be cut short."""
LARGEST_ERROR = 100_000
"""Bytes of an error's text that are read where a content was asked for."""
IDLE_SECONDS = 10.0
"""Unused connections are closed before the server does it, which Spring Boot's Tomcat does after 20 s."""

NO_ENGINE_REST = ". ENGINE_URL does not end in /engine-rest, as the addresses of most engines do"

_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Basic:
    """User and password."""

    user: str
    password: str = field(repr=False)

    @property
    def header(self) -> str:
        """The value of `Authorization`, in UTF-8."""
        return "Basic " + b64encode(f"{self.user}:{self.password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token."""

    token: str = field(repr=False)

    @property
    def header(self) -> str:
        """The value of `Authorization`."""
        return f"Bearer {self.token}"


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the engine is and who we are to it.

    `url` ends in `/engine-rest`, or `/engine-rest/engine/<name>`. `worker_id` must be new for each process start: the
    engine tells workers apart by nothing else, and takes 255 characters of it. `lock` is how long a fetched task is
    ours, `poll` how long the engine may hold a poll that finds nothing. Without `tenants` tasks of all come; `-` among
    them means those of none. `ca_file` replaces the system's authorities. The
    variables `also` come with every task, beside what its question needs.
    """

    url: str
    worker_id: str
    lock: timedelta
    poll: timedelta
    tenants: tuple[str, ...] = ()
    auth: Basic | Bearer | None = None
    ca_file: Path | None = None
    also: tuple[str, ...] = ()


class Transport:
    """Sends requests and returns what the engine itself said."""

    def __init__(self, session: aiohttp.ClientSession, connection: Connection) -> None:
        self._session = session
        self._base = connection.url.rstrip("/")
        url = URL(self._base)
        self._hint = "" if "engine-rest" in url.path else NO_ENGINE_REST
        self._host = f"{url.host}:{url.port}"
        seconds = connection.poll.total_seconds() + POLL_MARGIN_SECONDS
        self.poll_limits = aiohttp.ClientTimeout(
            total=seconds + BODY_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=seconds
        )

    async def send(
        self, method: str, path: str, body: Any = None, *, limits: aiohttp.ClientTimeout = ORDINARY
    ) -> Reply:
        """Send and return a success or the engine's own no; raise EngineDown or EngineDenied for everything else.

        `path` begins with a slash and is quoted already. The request may have had its effect although EngineDown is
        raised. POST is never sent twice; aiohttp repeats GET and PUT once where a pooled connection turns out dead.
        """
        data, headers = (None, None) if body is None else (json.dumps(body, separators=(",", ":")).encode(), _JSON)
        try:
            async with self._session.request(
                method,
                URL(self._base + path, encoded=True),
                data=data,
                headers=headers,
                timeout=limits,
                allow_redirects=False,
            ) as response:
                at = monotonic()
                reply = Reply(response.status, await response.read(), response.headers, at, body)
        except (aiohttp.ClientError, OSError) as exc:
            raise unreachable(exc, self._host) from exc
        check(reply, self._hint)
        return reply

    async def download(self, path: str, most: int) -> bytes | Reply | None:
        """Return the content behind a path, None if it has more than `most` bytes, or the engine's own no.

        Raises what `send` raises.
        """
        try:
            async with self._session.request(
                "GET", URL(self._base + path, encoded=True), timeout=COMPLETION, allow_redirects=False
            ) as response:
                content = await _read(response, most if response.status == HTTPStatus.OK else LARGEST_ERROR)
                reply = Reply(response.status, content or b"", response.headers, monotonic())
        except (aiohttp.ClientError, OSError) as exc:
            raise unreachable(exc, self._host) from exc
        if reply.status == HTTPStatus.OK:
            return content
        check(reply, self._hint)
        return reply


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes | None:
    parts = bytearray()
    async for part in response.content.iter_any():
        parts += part
        if len(parts) > most:
            return None
    return bytes(parts)


@asynccontextmanager
async def open_transport(connection: Connection) -> AsyncIterator[Transport]:
    """Make the pool; nothing is reached yet. Raises Permanent when the CA file cannot be read."""
    headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
    if connection.auth is not None:
        headers["Authorization"] = connection.auth.header
    connector = aiohttp.TCPConnector(limit=0, ssl=_tls(connection.ca_file), keepalive_timeout=IDLE_SECONDS)
    # Without cookies: the engine would open an HTTP session, and with it a second identity beside our credentials.
    async with aiohttp.ClientSession(
        connector=connector, headers=headers, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        yield Transport(session, connection)


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as exc:  # ssl.SSLError is one
        raise Permanent(f"the engine's CA file {ca_file} cannot be read: {exc.strerror or exc}") from exc
