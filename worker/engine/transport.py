"""HTTP to one engine: a pool of connections, timeouts, authentication, and no reply that was not looked at."""

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from worker.engine.failures import Reply, check, describe, unreachable
from worker.engine.identity import Auth, Identity
from worker.errors import EngineDown, Permanent
from worker.runtime.beside import beside
from worker.runtime.bodies import read_most
from worker.runtime.certificates import show_certificate
from worker.runtime.clock import monotonic
from worker.runtime.version import USER_AGENT

CONNECT_SECONDS = 5.0
ORDINARY = aiohttp.ClientTimeout(total=10, sock_connect=CONNECT_SECONDS)
COMPLETION = aiohttp.ClientTimeout(total=20, sock_connect=CONNECT_SECONDS)
"""Where no asyncAfter stops it, a completion returns only when the steps behind the task have run."""
UPLOAD = aiohttp.ClientTimeout(total=120, sock_connect=CONNECT_SECONDS)
POLL_MARGIN_SECONDS = 5.0
"""Beyond the engine's own wait: a connection whose other end is gone would otherwise be waited on for ever."""
BODY_SECONDS = 20.0
"""What a poll's reply may take on its way: its tasks are locked for us already, so it should not be cut short."""
LARGEST_ERROR = 10_000_000
"""Bytes of an error that are read; it may quote what it refuses."""
LARGE_REQUEST = 20_000
"""Bytes of a request from which on it takes more than a few milliseconds to find what an error repeats of it."""
LARGEST_REPLY = 64 * 1024 * 1024
"""Bytes of any reply whose reader names no bound: the list of some hundred thousand definitions."""
IDLE_SECONDS = 10.0
"""Unused connections are closed before the server does it, which Spring Boot's Tomcat does after 20 s."""

NO_ENGINE_REST = ". ENGINE_URL does not end in /engine-rest, as the addresses of most engines do"


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the engine is and who we are to it.

    `url` ends in `/engine-rest`, or `/engine-rest/engine/<name>`. `worker_id` must be new for each process start: the
    engine tells workers apart by nothing else, and takes 255 characters of it. `lock` is how long a fetched task is
    ours, `poll` how long the engine may hold a poll that finds nothing. Without `tenants` tasks of all come; `-` among
    them means those of none. `ca_file` replaces the system's authorities, and is added to them for an OAuth2 server.
    The variables `also` come with every task, beside what its question needs.
    `cert_file` and `key_file` are shown to an engine that wants to see a certificate; the first may hold both.
    """

    url: str
    worker_id: str
    lock: timedelta
    poll: timedelta
    tenants: tuple[str, ...] = ()
    auth: Auth | None = None
    ca_file: Path | None = None
    also: tuple[str, ...] = ()
    cert_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Form:
    """A body that is no JSON, with its content type."""

    content: bytes
    type: str


class Transport:
    """Sends requests and returns what the engine itself said."""

    def __init__(
        self, session: aiohttp.ClientSession, identity: Identity, tls: ssl.SSLContext, connection: Connection
    ) -> None:
        self._session = session
        self._tls = tls
        self._identity = identity
        self._base = connection.url.rstrip("/")
        url = URL(self._base)
        self._hint = "" if "engine-rest" in url.path else NO_ENGINE_REST
        self._host = f"{url.host}:{url.port}"
        seconds = connection.poll.total_seconds() + POLL_MARGIN_SECONDS
        self.poll_limits = aiohttp.ClientTimeout(
            total=seconds + BODY_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=seconds
        )

    def use(self, connection: Connection) -> None:
        """Be who this says from the next request on, and show its certificate from the next connection on.

        Nothing else of it is looked at. Raises Permanent, with nothing changed.
        """
        _show(self._tls, connection)
        self._identity.use(connection.auth)

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        limits: aiohttp.ClientTimeout = ORDINARY,
        most: int | None = None,
    ) -> Reply:
        """Send and return a success or the engine's own no; raise EngineDown or EngineDenied for everything else.

        A success of more than `most` bytes comes as `too_long`; without a bound of its own it is EngineDown.

        `path` begins with a slash and is quoted already. The request may have had its effect although EngineDown is
        raised. POST is never sent twice; aiohttp repeats GET and PUT once where a pooled connection turns out dead.
        """
        reply = await self._ask(method, path, limits, body, LARGEST_REPLY if most is None else most)
        check(reply, self._hint)
        if reply.too_long and most is None:
            raise EngineDown(f"the engine's answer has more than {LARGEST_REPLY} bytes")
        return reply

    async def upload(self, path: str, form: Form) -> Reply:
        """Send a form. Returns and raises what `send` does."""
        reply = await self._ask("POST", path, UPLOAD, form, LARGEST_REPLY)
        check(reply, self._hint)
        return reply

    async def download(self, path: str, most: int) -> bytes | Reply | None:
        """Return the content behind a path, None if it has more than `most` bytes, or the engine's own no.

        Raises what `send` raises.
        """
        reply = await self._ask("GET", path, COMPLETION, None, most)
        if reply.status == HTTPStatus.OK:
            return None if reply.too_long else reply.body
        check(reply, self._hint)
        return reply

    async def _ask(self, method: str, path: str, limits: aiohttp.ClientTimeout, body: Any, most: int) -> Reply:
        """Send, once more where the engine refuses who we were a moment ago: nothing of that request was done."""
        header = await self._identity.header()
        reply = await self._once(method, path, limits, header, body, most)
        # Tokens run out, and secrets are replaced, between two requests.
        if reply.status == HTTPStatus.UNAUTHORIZED and self._identity.refused(header):
            reply = await self._once(method, path, limits, await self._identity.header(), body, most)
        return reply

    async def _once(
        self,
        method: str,
        path: str,
        limits: aiohttp.ClientTimeout,
        header: str | None,
        body: Any,
        most: int,
    ) -> Reply:
        headers = {} if header is None else {"Authorization": header}
        form = body if isinstance(body, Form) else _form(body)
        try:
            async with self._session.request(
                method,
                # What is quoted already must stay so: a name may hold a slash.
                URL(self._base + path, encoded=True),
                data=None if form is None else form.content,
                headers=headers if form is None else headers | {"Content-Type": form.type},
                timeout=limits,
                allow_redirects=False,
            ) as response:
                # Not when the body is whole: the tasks in it are locked before its head comes, and it may take long.
                at = monotonic()
                wanted = most if response.status == HTTPStatus.OK else LARGEST_ERROR
                content = await read_most(response.content.iter_any(), wanted)
                too_long = content is None and response.status == HTTPStatus.OK
                sent = None if body is form else body
                reply = Reply(response.status, content or b"", response.headers, at, sent, too_long)
        except (aiohttp.ClientError, OSError) as exc:
            raise unreachable(exc, self._host) from exc
        if reply.status >= HTTPStatus.BAD_REQUEST and form is not None and len(form.content) > LARGE_REQUEST:
            return replace(reply, told=await beside(describe, reply))
        return reply


def _form(body: Any) -> Form | None:
    """Write a body as JSON: in ASCII, for half a surrogate pair in a value cannot be encoded as UTF-8."""
    return None if body is None else Form(json.dumps(body, separators=(",", ":")).encode(), "application/json")


@asynccontextmanager
async def open_transport(connection: Connection) -> AsyncIterator[Transport]:
    """Make the pool; nothing is reached yet. Raises Permanent when a file of certificates cannot be read."""
    headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
    tls = _tls(connection)
    _show(tls, connection)

    @cache  # made when a token is wanted: to read all authorities takes longer than the rest of this
    def tokens() -> ssl.SSLContext:
        made = ssl.create_default_context()
        if connection.ca_file is not None:
            made.load_verify_locations(connection.ca_file)
        return made

    # Without a limit, as slots bound what runs: with aiohttp's own hundred a renewal might wait behind completions of
    # up to 20 s each, while its lock runs out.
    connector = aiohttp.TCPConnector(limit=0, ssl=tls, keepalive_timeout=IDLE_SECONDS)
    # Without cookies: the engine would open an HTTP session, and with it a second identity beside our credentials.
    async with (
        aiohttp.ClientSession(connector=connector, headers=headers, cookie_jar=aiohttp.DummyCookieJar()) as session,
        Identity(session, connection.auth, tokens) as identity,
    ):
        yield Transport(session, identity, tls, connection)


def _show(tls: ssl.SSLContext, connection: Connection) -> None:
    if connection.cert_file is not None:
        try:
            show_certificate(tls, connection.cert_file, connection.key_file)
        except ValueError as exc:
            raise Permanent(f"the engine's client certificate: {exc}") from None


def _tls(connection: Connection) -> ssl.SSLContext:
    if connection.ca_file is None and URL(connection.url).scheme == "http":
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without the authorities, which take 50 ms to read
    try:
        return ssl.create_default_context(cafile=connection.ca_file)
    except OSError as exc:  # ssl.SSLError is one
        raise Permanent(f"the engine's CA file {connection.ca_file} cannot be read: {exc.strerror or exc}") from exc
