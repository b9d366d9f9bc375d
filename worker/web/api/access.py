"""Who asks: bearer tokens, ours or an issuer's, with rights and limits. Without any: whoever sits at this machine."""

import hmac
import ipaddress
import re
from collections.abc import Sequence
from datetime import UTC, datetime

from starlette.datastructures import Headers
from starlette.types import Scope

from worker.domain.people import RIGHTS, Person
from worker.errors import Permanent
from worker.web.api import tickets, tokens
from worker.web.api.grants import LOCAL, Grant, token_digest
from worker.web.api.persons import Persons
from worker.web.api.tickets import TicketOffice

_LOCAL = Grant(LOCAL, RIGHTS, person=Person(LOCAL, LOCAL, "this machine")).personal


class Access:
    """Knows tokens by their digests only. Without any it grants everything to this machine, and nothing to others."""

    def __init__(
        self, grants: Sequence[Grant] = (), persons: Persons | None = None, office: TicketOffice | None = None
    ) -> None:
        self._grants = tuple(each.personal for each in grants)
        self._persons = persons
        self._office = office

    @classmethod
    def of(cls, setting: str, persons: Persons | None = None, office: TicketOffice | None = None) -> "Access":
        """Read the setting API_TOKENS. Raises Permanent, without a token."""
        return cls(tokens.read(setting), persons, office)

    def use(self, other: "Access") -> None:
        """Grant what another one's tokens of ours grant from the next request on."""
        self._grants = other._grants  # noqa: SLF001 - it is its own class

    @property
    def is_guarded(self) -> bool:
        """Whether there are tokens."""
        return bool(self._grants) or self._persons is not None

    def check_host(self, host: str) -> None:
        """Raise Permanent where others than this machine could come in, and nothing would stop them."""
        if not self.is_guarded and not _is_loopback(host):
            raise Permanent(
                f"API_HOST={host}: needs API_TOKENS or OIDC_ISSUER; without tokens only 127.0.0.1 or ::1 can be "
                "listened on"
            )

    async def grant(self, scope: Scope) -> Grant | None:
        """Find what a request's token allows, or a socket's ticket; None if nothing.

        Raises IssuerDown, StoreDown where nobody can tell.
        """
        headers = Headers(scope=scope)
        if not self.is_guarded:
            return _LOCAL if _is_local(scope, headers) else None
        if scope["type"] == "websocket" and (ticket := tickets.brought(scope, headers)) is not None:
            return await self._with_ticket(ticket)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        found = self._own(token.strip())
        if found is None and self._persons is not None:
            named = await self._persons.grant(token.strip())
            return named.personal if named else None
        return found

    def still_grants(self, grant: Grant) -> bool:
        """Whether what was granted once is granted still, to whoever goes on with it for hours."""
        if grant.until is not None:
            return datetime.now(UTC) < grant.until
        return grant in self._grants if self.is_guarded else grant.is_local

    async def _with_ticket(self, ticket: str) -> Grant | None:
        found = await self._office.take(ticket) if self._office else None
        if found is None:
            return None
        if found.until is not None:
            return found.personal if datetime.now(UTC) < found.until else None
        # A token of ours counts as it is now: it may have been taken back since.
        return next((grant for grant in self._grants if grant.id == found.id), None)

    def _own(self, token: str) -> Grant | None:
        asked, found = token_digest(token), None
        for grant in self._grants:  # all of them, so that the time says nothing
            if hmac.compare_digest(grant.id, asked):
                found = grant
        return found


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
