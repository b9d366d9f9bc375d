"""Who may read what: bearer tokens with a role and limits. Without tokens: whoever sits at this machine."""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Depends, HTTPException
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Scope

from worker.domain import foreign
from worker.domain.conversations import EVERYTHING, Limits
from worker.errors import Permanent

Level = Literal["viewer", "operator"]

SHORTEST_TOKEN = 16
_FORM = 'API_TOKENS: must be JSON such as {"<token>": "operator", "<token>": {"role": "viewer", "tenants": ["a"]}}'


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token allows. An operator may do all that a viewer may; limits hold for both.

    `id` is the token's digest: good to count by, and of no use to whoever reads it.
    """

    id: str
    role: Level
    limits: Limits = EVERYTHING


_LOCAL = Grant("local", "operator")


class Access:
    """Knows tokens by their digests only. Without any it grants everything to this machine, and nothing to others."""

    def __init__(self, grants: Sequence[Grant] = ()) -> None:
        self._grants = tuple(grants)

    @classmethod
    def of(cls, setting: str) -> "Access":
        """Read the setting: JSON, token → role, or → role, `tenants`, `instances`. Raises Permanent, without a token.

        null among the tenants stands for conversations without tenant.
        """
        if not setting.strip():
            return cls()
        try:
            tokens = foreign.read(setting, pairs=_without_twins)
        except ValueError:
            raise Permanent(_FORM) from None  # the cause quotes the tokens
        if not isinstance(tokens, dict) or not tokens:
            raise Permanent(_FORM)
        return cls([_grant(token, rights) for token, rights in tokens.items()])

    def use(self, other: "Access") -> None:
        """Grant what another one grants from the next request on."""
        self._grants = other._grants  # noqa: SLF001 - it is its own class

    @property
    def is_guarded(self) -> bool:
        """Whether there are tokens."""
        return bool(self._grants)

    def check_host(self, host: str) -> None:
        """Raise Permanent where others than this machine could come in, and nothing would stop them."""
        if not self.is_guarded and not _is_loopback(host):
            raise Permanent(
                f"API_HOST={host}: needs API_TOKENS; without tokens only 127.0.0.1 or ::1 can be listened on"
            )

    def grant(self, scope: Scope) -> Grant | None:
        """Find what a request's token allows; None if nothing."""
        headers = Headers(scope=scope)
        if not self.is_guarded:
            return _LOCAL if _is_local(scope, headers) else None
        scheme, _, token = headers.get("authorization", "").partition(" ")
        digest = _digest(token.strip())
        found = None
        for grant in self._grants:  # all of them, so that the time says nothing
            if hmac.compare_digest(grant.id, digest):
                found = grant
        return found if scheme.lower() == "bearer" else None

    def still_grants(self, grant: Grant) -> bool:
        """Whether what was granted once is granted still, to whoever goes on with it for hours."""
        return grant in (self._grants or (_LOCAL,))


def _grant(token: str, rights: Any) -> Grant:
    if isinstance(rights, str):
        rights = {"role": rights}
    if not isinstance(rights, Mapping) or rights.keys() - {"role", "tenants", "instances"}:
        raise Permanent(_FORM)
    if not re.fullmatch(rf"[!-~]{{{SHORTEST_TOKEN},}}", token):
        raise Permanent(f"API_TOKENS: each token must have {SHORTEST_TOKEN} or more ASCII characters, and no blanks")
    role = rights.get("role")
    if role not in ("viewer", "operator"):
        raise Permanent("API_TOKENS: a role must be viewer or operator")
    tenants, instances = (_names(rights, name) for name in ("tenants", "instances"))
    if instances is not None and None in instances:
        raise Permanent("API_TOKENS: instances must be a list of ids")
    return Grant(_digest(token), role, Limits(tenants, instances))  # type: ignore[arg-type] # no None, as just checked


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Of a name that stands twice the last one would count: a viewer's token could turn into an operator's unseen.
    read = dict(pairs)
    if len(read) < len(pairs):
        raise Permanent("API_TOKENS: a token or a name in its rights stands there twice; keep one of them")
    return read


def _names(rights: Mapping[str, Any], name: str) -> frozenset[str | None] | None:
    if name not in rights:
        return None
    value = rights[name]
    if not isinstance(value, list) or not all(each is None or isinstance(each, str) for each in value):
        raise Permanent(f"API_TOKENS: {name} must be a list of names")
    return frozenset(value)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def _is_local(scope: Scope, headers: Headers) -> bool:
    # A browser here may be told by a page from elsewhere that this machine is called evil.example; and behind a proxy
    # everybody comes from here.
    client = scope.get("client") or ("", 0)
    name = re.sub(r":\d+$", "", headers.get("host", "")).strip("[]")
    proxied = any(name.startswith(("x-forwarded", "forwarded", "x-real-ip", "via")) for name in headers)
    return _is_loopback(client[0]) and _is_loopback(name) and not proxied and _is_same_origin(headers)


def _is_same_origin(headers: Headers) -> bool:
    """Whether no page from elsewhere asks. Browsers that send no Sec-Fetch-Site still say Origin before they change."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    return headers.get("origin") in (None, f"http://{headers.get('host')}")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _viewer(request: Request) -> Grant:
    # The gate in front of all routes has put it there; a route that is reached without it is closed.
    grant = request.scope.get("grant")
    if not isinstance(grant, Grant):
        raise HTTPException(401)
    return grant


def _operator(grant: Annotated[Grant, Depends(_viewer)]) -> Grant:
    if grant.role != "operator":
        raise HTTPException(403, "This token may read only.")
    return grant


Viewer = Annotated[Grant, Depends(_viewer)]
"""A route's parameter of this type lets viewers and operators in."""
Operator = Annotated[Grant, Depends(_operator)]
"""A route's parameter of this type lets operators in only."""
