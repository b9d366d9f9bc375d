"""A small OpenID Connect issuer: keys of its own, discovery, and a log-in by code with PKCE for one public client."""

import asyncio
import hashlib
import json
import ssl
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import uuid4

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tests.listening import listening

AUDIENCE = "assistant-worker"
CLIENT = "page"
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def rsa_key(_name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """A key that is the same whenever it is asked for: to make one takes a while."""
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(_name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def public(key: Key, **more: Any) -> dict[str, Any]:
    """A key as it is published."""
    if isinstance(key, rsa.RSAPrivateKey):
        text = RSAAlgorithm.to_jwk(key.public_key())
    else:
        text = ECAlgorithm.to_jwk(key.public_key())
    known: dict[str, Any] = json.loads(text)
    return known | {"use": "sig"} | more


def raw(*parts: Any, signature: bytes = b"") -> str:
    """A token with these parts, signed by nobody."""
    texts = [json.dumps(part).encode() if isinstance(part, dict) else part for part in parts]
    return ".".join(urlsafe_b64encode(text).rstrip(b"=").decode() for text in (*texts, signature))


@dataclass(slots=True)
class Issuer:
    """Publishes `keys`, and vouches for whoever logs in as `person`. Away, it answers 503.

    `refuses`: it gives no token for a code. It takes `delay` seconds."""

    url: str = ""
    keys: list[dict[str, Any]] = field(
        default_factory=lambda: [public(rsa_key("one"), kid="one"), public(ec_key("two"), kid="two", alg="ES256")]
    )
    about: dict[str, Any] = field(default_factory=dict)
    person: dict[str, Any] = field(default_factory=dict)
    away: bool = False
    refuses: bool = False
    delay: float = 0.0
    asked: list[str] = field(default_factory=list)
    codes: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def claims(self, **more: Any) -> dict[str, Any]:
        """What a good token says; None takes a claim away, and `exp_in` is in so many seconds."""
        now = int(time.time())
        more |= {name.removesuffix("_in"): now + more.pop(name) for name in list(more) if name.endswith("_in")}
        said = {"iss": self.url, "aud": AUDIENCE, "sub": "ann", "name": "Ann", "iat": now, "exp": now + 300}
        said |= {"roles": ["writers"], **self.person, **more}
        return {name: value for name, value in said.items() if value is not None}

    def token(self, key: Any = None, *, kid: str | None = "one", alg: str = "RS256", **more: Any) -> str:
        """A token, good unless it is said otherwise."""
        headers = {} if kid is None else {"kid": kid}
        return jwt.encode(self.claims(**more), key or rsa_key("one"), algorithm=alg, headers=headers)

    async def discovery(self, _: web.Request) -> web.Response:
        own = {"issuer": self.url, "jwks_uri": f"{self.url}/jwks"}
        ends = {f"{name}_endpoint": f"{self.url}/{name}" for name in ("authorization", "token")}
        return web.json_response(own | ends | self.about)

    async def jwks(self, _: web.Request) -> web.Response:
        return web.json_response({"keys": self.keys})

    async def authorization(self, request: web.Request) -> web.Response:
        """Log the person in without a question, and go back with a code."""
        wish = request.query
        fine = (wish["response_type"], wish["client_id"], wish["code_challenge_method"]) == ("code", CLIENT, "S256")
        if not fine or "openid" not in wish["scope"].split():
            return web.Response(status=400, text=str(dict(wish)))
        code = uuid4().hex
        self.codes[code] = dict(wish)
        raise web.HTTPFound(f"{wish['redirect_uri']}?code={code}&state={wish['state']}")

    async def token_endpoint(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        wish = self.codes.pop(form.get("code", ""), None)
        challenge = urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).rstrip(b"=")
        cors = {"Access-Control-Allow-Origin": request.headers.get("Origin", "")}
        same = wish and all(form.get(each) == wish[each] for each in ("client_id", "redirect_uri"))
        if self.refuses or wish is None or not same or challenge.decode() != wish["code_challenge"]:
            return web.json_response({"error": "invalid_grant"}, status=400, headers=cors)
        said = {"access_token": self.token(), "token_type": "Bearer", "expires_in": 300}
        return web.json_response(said, headers=cors)

    @web.middleware
    async def noted(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(request.path)
        await asyncio.sleep(self.delay)
        return web.Response(status=503) if self.away else await handler(request)


@asynccontextmanager
async def issuing(tls: ssl.SSLContext | None = None) -> AsyncIterator[Issuer]:
    """Listen on a free port."""
    issuer = Issuer()
    app = web.Application(middlewares=[issuer.noted])
    app.router.add_get("/.well-known/openid-configuration", issuer.discovery)
    app.router.add_get("/jwks", issuer.jwks)
    app.router.add_get("/authorization", issuer.authorization)
    app.router.add_post("/token", issuer.token_endpoint)
    async with listening(app, tls=tls) as address:
        issuer.url = address
        yield issuer
