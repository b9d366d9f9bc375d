"""One issuer of OpenID Connect: what it publishes, and whether a token is one of its own, for us, and good now."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import jwt
import structlog
from yarl import URL

from worker.domain import foreign
from worker.domain.people import Endpoints
from worker.errors import IssuerDown
from worker.oidc.published import ALGORITHMS, Published
from worker.runtime.beside import beside
from worker.runtime.bodies import read_most
from worker.runtime.clock import monotonic
from worker.runtime.version import USER_AGENT
from worker.telemetry.logs import Event

LEEWAY: Final = timedelta(seconds=30)
"""How far the issuer's clock and ours may be apart."""
LOOK_SECONDS: Final = 600.0
"""After so long the keys are read anew, so that one that the issuer has taken back opens nothing any more."""
GOOD_SECONDS: Final = 3600.0
"""For so long keys are good while the issuer does not answer."""
PAUSE_SECONDS: Final = 60.0
"""Between two looks for a key that nobody knows: anybody can invent its name."""
AGAIN_SECONDS: Final = 5.0
"""Between two looks if the first had no answer."""
LARGEST_ANSWER: Final = 1_000_000
_LIMITS: Final = aiohttp.ClientTimeout(total=5, sock_connect=3)
_REQUIRED: Final = ("exp", "iss", "aud", "sub")
_NO_TOKEN: Final = (jwt.PyJWTError, ValueError, OverflowError, RecursionError)
"""What the library raises for it; the others for numbers and nesting that it did not think of."""

log = structlog.get_logger()


class OidcIssuer:
    """Implements `ports.people.Issuer`. Make it by `open`."""

    def __init__(self, session: aiohttp.ClientSession, url: str, audience: str) -> None:
        self._session = session
        self._url = url
        self._audience = audience
        self._published: Published | None = None
        self._read_at = self._tried_at = float("-inf")
        self._trouble = "nobody has asked it yet"
        self._reading = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, audience: str, ca_file: Path | None = None) -> AsyncIterator[Self]:
        """Make the issuer's client; nothing is reached yet. The file's authorities are trusted beside the system's."""
        tls = ssl.create_default_context()
        if ca_file is not None:
            tls.load_verify_locations(ca_file)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls),
            headers={"User-Agent": USER_AGENT, "Accept": "application/json"},
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=_LIMITS,
        ) as session:
            yield cls(session, url, audience)

    async def claims(self, token: str) -> Mapping[str, Any] | None:
        """See `ports.people.Issuer.claims`."""
        try:
            header = jwt.get_unverified_header(token)
        except _NO_TOKEN:
            return None
        name, algorithm = header.get("kid"), header.get("alg")
        if algorithm not in ALGORITHMS:
            return None
        key = (await self._looked_up(name)).keys.get(name)
        if key is None or key.algorithm_name != algorithm:
            return None
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._url,
                leeway=LEEWAY,
                options={"require": list(_REQUIRED)},
            )
        except _NO_TOKEN:
            return None

    async def endpoints(self) -> Endpoints:
        """See `ports.people.Issuer.endpoints`."""
        published = self._published or await self._looked_up(None)
        return published.endpoints

    async def _looked_up(self, name: str | None) -> Published:
        """Return what is published, read anew where that is old or lacks this key, and may be read. IssuerDown."""
        if not self._serves(name):
            async with self._reading:
                if not self._serves(name) and monotonic() - self._tried_at >= self._pause:
                    await self._look()
        published = self._published
        is_good = monotonic() - self._read_at < GOOD_SECONDS
        if published is None or not is_good or (self._trouble and name not in published.keys):
            raise IssuerDown(f"the issuer at {URL(self._url).host}: {self._trouble}")
        return published

    def _serves(self, name: str | None) -> bool:
        known = self._published.keys if self._published else {}
        return name in known and monotonic() - self._read_at < LOOK_SECONDS

    @property
    def _pause(self) -> float:
        return AGAIN_SECONDS if self._trouble else PAUSE_SECONDS

    async def _look(self) -> None:
        self._tried_at = monotonic()
        try:
            self._published = await self._read()
        except (IssuerDown, aiohttp.ClientError, OSError, ValueError) as exc:
            self._trouble = str(exc) if isinstance(exc, IssuerDown) else f"{type(exc).__name__}: {exc}"[:300]
            log.warning(Event.ISSUER_DOWN, reason=self._trouble)
        else:
            self._read_at, self._trouble = monotonic(), ""

    async def _read(self) -> Published:
        about = await self._get(f"{self._url.rstrip('/')}/.well-known/openid-configuration")
        # Else whoever answers at that address could vouch for another one's persons.
        if about.get("issuer") != self._url:
            raise IssuerDown(f"it calls itself {str(about.get('issuer'))[:200]!r}: OIDC_ISSUER has to say the same")
        endpoints = Endpoints(*(_address(about, f"{name}_endpoint") for name in ("authorization", "token")))
        keys = await self._get(_address(about, "jwks_uri"))
        published = await beside(Published.read, keys, endpoints)
        if not published.keys:
            raise IssuerDown(f"it publishes no key that we take: {' or '.join(ALGORITHMS)}")
        return published

    async def _get(self, address: str) -> Mapping[str, Any]:
        async with self._session.get(address, allow_redirects=False) as response:
            body = await read_most(response.content.iter_any(), LARGEST_ANSWER)
            if body is None:
                raise IssuerDown(f"its answer has more than {LARGEST_ANSWER} bytes")
            if response.status != HTTPStatus.OK:
                raise IssuerDown(f"it answered {response.status} at {URL(address).path}")
        said = foreign.read_flat(body)
        if not isinstance(said, dict):
            raise IssuerDown(f"its answer at {URL(address).path} is no JSON object")
        return said


def _address(about: Mapping[str, Any], name: str) -> str:
    address = about.get(name)
    if not isinstance(address, str) or URL(address).scheme not in {"http", "https"}:
        raise IssuerDown(f"its configuration has no {name}")
    return address
