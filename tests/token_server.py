"""An OAuth2 server that knows one client and the grant client_credentials, as strict as RFC 6749 allows."""

import asyncio
import ssl
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

from aiohttp import web

from tests.listening import listening

HOST = "127.0.0.1"


@dataclass(slots=True)
class TokenServer:
    """Gives a new token with each answer. `instead` is answered in its place: status, and JSON or text."""

    client_id: str
    secret: str
    life: Any = 300
    url: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    instead: tuple[int, Any] | None = None
    delay: float = 0.0
    """Seconds until it answers."""

    def good(self, header: str | None) -> bool:
        """Whether this is the newest token."""
        return bool(self.given) and header == f"Bearer {self.given[-1]}"

    async def answer(self, request: web.Request) -> web.Response:
        """Give a token, or say why not."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.asked.append(form)
        secret = self.secret
        await asyncio.sleep(self.delay)
        if self.instead is not None:
            status, said = self.instead
            return (
                web.Response(status=status, text=said)
                if isinstance(said, str)
                else web.json_response(said, status=status)
            )
        scheme, _, word = request.headers.get("Authorization", "").partition(" ")
        who = tuple(map(unquote_plus, b64decode(word).decode().split(":", 1))) if scheme == "Basic" else ()
        if who != (self.client_id, secret):
            return web.json_response({"error": "invalid_client", "error_description": f"no {who}"}, status=401)
        if request.content_type != "application/x-www-form-urlencoded":
            return web.json_response({"error": "invalid_request"}, status=400)
        if form.get("grant_type") != "client_credentials":
            return web.json_response({"error": "unsupported_grant_type"}, status=400)
        self.given.append(f"token-{len(self.given) + 1}")
        said = {"access_token": self.given[-1], "token_type": "bearer"}
        return web.json_response(said if self.life is None else {**said, "expires_in": self.life})


@asynccontextmanager
async def token_server(
    client_id: str = "worker",
    secret: str = "s3cret",  # noqa: S107 - of a throw-away server
    *,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[TokenServer]:
    """Listen on a free port."""
    server = TokenServer(client_id, secret)
    app = web.Application()
    app.router.add_post("/token", server.answer)
    async with listening(app, tls=tls) as address:
        server.url = f"{address}/token"
        yield server
