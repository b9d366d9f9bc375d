"""Who asks: bearer tokens with rights and limits. Without tokens: whoever sits at this machine."""

import hmac
import ipaddress
import re
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import Scope

from worker.domain.people import RIGHTS, Person
from worker.errors import Permanent
from worker.web.api import tokens
from worker.web.api.grants import Grant, token_digest

_LOCAL = Grant("local", RIGHTS, person=Person("local", "local", "this machine"))


class Access:
    """Knows tokens by their digests only. Without any it grants everything to this machine, and nothing to others."""

    def __init__(self, grants: Sequence[Grant] = ()) -> None:
        self._grants = tuple(grants)

    @classmethod
    def of(cls, setting: str) -> "Access":
        """Read the setting API_TOKENS. Raises Permanent, without a token."""
        return cls(tokens.read(setting))

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
        asked = token_digest(token.strip())
        found = None
        for grant in self._grants:  # all of them, so that the time says nothing
            if hmac.compare_digest(grant.id, asked):
                found = grant
        return found if scheme.lower() == "bearer" else None


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
