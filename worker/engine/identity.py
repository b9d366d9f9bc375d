"""Who we are to the engine: user and password, a token, or a client that gets tokens from an OAuth2 server."""

import asyncio
import re
import ssl
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Self
from urllib.parse import quote_plus

import aiohttp
from yarl import URL

from worker.domain import foreign
from worker.engine.failures import unreachable
from worker.errors import EngineDenied, EngineDown
from worker.runtime.bodies import read_most
from worker.runtime.clock import monotonic

EARLY_SECONDS: Final = 60.0
"""How long before its end a token is renewed, while it is still used; of a short one a quarter of its life."""
AGAIN_SECONDS: Final = 5.0
"""Between two tries to renew a token that is still good."""
LARGEST_ANSWER: Final = 100_000
"""Bytes of an answer of a token endpoint that are read."""
_LIMITS: Final = aiohttp.ClientTimeout(total=10, sock_connect=5)
_DENIED: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_OURS: Final = frozenset(
    {"invalid_client", "unauthorized_client", "invalid_grant", "invalid_scope", "invalid_target", "access_denied"}
    | {"invalid_request", "unsupported_grant_type"}
)
"""Errors of OAuth2 that say that what we ask for, or as whom, is wrong: a person has to correct it."""


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
class OAuthClient:
    """A client of an OAuth2 server, by the grant client_credentials."""

    token_url: str
    id: str
    secret: str = field(repr=False)
    scope: str | None = None
    audience: str | None = None

    @property
    def header(self) -> str:
        """The value of `Authorization` for the token endpoint (RFC 6749, 2.3.1)."""
        return Basic(quote_plus(self.id), quote_plus(self.secret)).header

    @property
    def form(self) -> dict[str, str]:
        """What the token endpoint is sent."""
        wanted = {"grant_type": "client_credentials", "scope": self.scope, "audience": self.audience}
        return {name: value for name, value in wanted.items() if value}


Auth = Basic | Bearer | OAuthClient


@dataclass(frozen=True, slots=True)
class _Token:
    """A token; its times are monotonic seconds, infinite where the server did not say."""

    bearer: Bearer
    renew_at: float
    ends_at: float


class Identity:
    """Says what stands in `Authorization`. However many requests need a new token, one is asked for.

    Use as an async context manager: it owns the asking. `tls` is for the token endpoint, and asked each time.
    """

    def __init__(self, session: aiohttp.ClientSession, auth: Auth | None, tls: Callable[[], ssl.SSLContext]) -> None:
        self._session = session
        self._auth = auth
        self._tls = tls
        self._token: _Token | None = None
        self._renewal: asyncio.Task[_Token] | None = None
        # Also those that `use` has let go of: each has to be over before the session is closed.
        self._askings: set[asyncio.Task[_Token]] = set()
        self._not_before = 0.0

    async def __aenter__(self) -> Self:
        """Ask for nothing yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the asking."""
        for asking in self._askings:
            asking.cancel()
        await asyncio.gather(*self._askings, return_exceptions=True)

    def use(self, auth: Auth | None) -> None:
        """Be somebody else from the next request on."""
        self._auth, self._token, self._renewal, self._not_before = auth, None, None, 0.0

    async def header(self) -> str | None:
        """Return the header's value, None if we say nothing. Raises EngineDown, EngineDenied: there is no token."""
        if not isinstance(self._auth, OAuthClient):
            return self._auth.header if self._auth else None
        token, now = self._token, monotonic()
        if token is None or token.ends_at <= now:
            return await self._renewed(self._auth)
        if token.renew_at <= now and self._not_before <= now and self._renewal is None:
            # The old one is good for a while: nobody waits for the new one, nor fails because there is none.
            self._not_before = now + AGAIN_SECONDS
            self._renew(self._auth)
        return token.bearer.header

    def refused(self, header: str | None) -> bool:
        """Hear that the engine answered 401 to this; return whether another try would say something else."""
        if isinstance(self._auth, OAuthClient):
            # Of several that are refused at once the first takes the token away: by now it may be a new one.
            if self._token is not None and self._token.bearer.header == header:
                self._token = None
            return True
        return (self._auth.header if self._auth else None) != header

    async def _renewed(self, client: OAuthClient) -> str | None:
        try:
            # Shielded: who gives up takes nothing from the others that wait.
            return (await asyncio.shield(self._renewal or self._renew(client))).bearer.header
        except EngineDown:
            if self._auth is client:
                raise
        return await self.header()  # its secret has been replaced meanwhile

    def _renew(self, client: OAuthClient) -> "asyncio.Task[_Token]":
        self._renewal = asyncio.create_task(self._ask(client), name="token of the engine")
        self._askings.add(self._renewal)
        self._renewal.add_done_callback(self._asked)
        return self._renewal

    def _asked(self, asking: "asyncio.Task[_Token]") -> None:
        self._askings.discard(asking)
        failed = asking.cancelled() or asking.exception() is not None
        # It was asked for as somebody that we are not any more.
        if asking is not self._renewal:
            return
        self._renewal = None
        if not failed:
            self._token = asking.result()

    async def _ask(self, client: OAuthClient) -> _Token:
        # From before the request: a token's life begins when it is made, and the answer may be on its way for 10 s.
        url, at = URL(client.token_url), monotonic()
        host = f"{url.host}:{url.port}"
        try:
            async with self._session.post(
                url,
                data=client.form,
                headers={"Authorization": client.header},
                ssl=self._tls(),
                timeout=_LIMITS,
                allow_redirects=False,
            ) as response:
                body = await read_most(response.content.iter_any(), LARGEST_ANSWER) or b""
                status = response.status
        except (aiohttp.ClientError, OSError) as exc:
            # Trouble there is trouble of the engine's: tasks wait, and nothing is wrong with us.
            raise unreachable(exc, host, "token endpoint") from exc
        return _read(status, body, host, at)


def _read(status: int, body: bytes, host: str, at: float) -> _Token:
    """Read an answer to a request that was sent `at`; no text has anything of it but OAuth2's own word for an error."""
    try:
        said = foreign.read_flat(body)
    except ValueError:
        said = None
    said = said if isinstance(said, dict) else {}
    if status != HTTPStatus.OK:
        error = str(said.get("error", ""))
        word = f" {error}" if re.fullmatch(r"[a-z_]{1,40}", error) else ""
        if status in _DENIED or (status == HTTPStatus.BAD_REQUEST and error in _OURS):
            raise EngineDenied(f"the token endpoint at {host} gives our client no token: {status}{word}")
        raise EngineDown(f"the token endpoint at {host} answered {status}{word}")
    token, kind = said.get("access_token"), str(said.get("token_type", "")).lower()
    # It becomes a header: what is not visible ASCII could begin another one, or none that can be sent.
    if not isinstance(token, str) or not re.fullmatch(r"[!-~]+", token) or kind != "bearer":
        raise EngineDown(f"the answer of the token endpoint at {host} has no bearer token; is ENGINE_TOKEN_URL right?")
    seconds = _seconds(said.get("expires_in"))
    return _Token(Bearer(token), at + seconds - min(EARLY_SECONDS, seconds / 4), at + seconds)


def _seconds(said: object) -> float:
    """Read how long a token lives. Some servers write a text; who says nothing answers 401 when it is over."""
    text = str(said)
    return float(text[:9]) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) and float(text[:9]) > 0 else float("inf")
