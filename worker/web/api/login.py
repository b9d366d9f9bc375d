"""The route that tells a page where people log in."""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import HTTPException

from worker.errors import IssuerDown
from worker.ports.people import Issuer
from worker.web.api import problems
from worker.web.api.routing import Extension, adding, below_api, from_application

PATH = "/api/login"


@dataclass(frozen=True, slots=True)
class Login:
    """What a public client needs to log a person in by a code with PKCE (RFC 7636)."""

    issuer: str
    client_id: str
    scope: str
    authorization_endpoint: str
    token_endpoint: str


@dataclass(frozen=True, slots=True)
class Client:
    """The page, as the issuer at `issuer_url` knows it."""

    issuer: Issuer
    issuer_url: str
    id: str
    scope: str

    @property
    def origin(self) -> str:
        """Where the page gets its tokens from: a page may ask the issuer's own origin only."""
        parts = urlsplit(self.issuer_url)
        return f"{parts.scheme}://{parts.netloc}"

    async def login(self) -> Login:
        """Say where to log in. Raises IssuerDown."""
        endpoints = await self.issuer.endpoints()
        return Login(self.issuer_url, self.id, self.scope, endpoints.authorization, endpoints.token)


@dataclass(frozen=True, slots=True)
class _Ports:
    """What the route stands on: no client where people bring tokens."""

    client: Client | None


Ports = Annotated[_Ports, from_application(_Ports)]
router = below_api()


def login(client: Client | None) -> Extension:
    """Make the extension that adds the route, which wants no token."""
    return adding(router, _Ports(client))


@router.get("/login", responses=problems.documented(429, 503), openapi_extra={"security": []})
async def told(ports: Ports) -> Login | None:
    """Where people log in; null where they bring a token of this worker's."""
    try:
        return await ports.client.login() if ports.client else None
    except IssuerDown as exc:
        raise HTTPException(503, problems.ISSUER_DOWN) from exc
