"""The route that tells a page where people log in."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI, HTTPException

from worker.errors import IssuerDown
from worker.ports.people import Issuer
from worker.web.api import problems

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


def login(client: Client | None) -> Callable[[FastAPI], None]:
    """Make the extension that adds the route, which wants no token."""
    router = APIRouter()

    @router.get("/login", responses=problems.documented(429, 503), openapi_extra={"security": []})
    async def told() -> Login | None:
        """Where people log in; null where they bring a token of this worker's."""
        try:
            return await client.login() if client else None
        except IssuerDown as exc:
            raise HTTPException(503, problems.ISSUER_DOWN) from exc

    def extend(application: FastAPI) -> None:
        application.include_router(router, prefix="/api")

    return extend
