"""Persons whom an issuer vouches for: what its tokens say of them, and what that allows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from worker.domain import foreign
from worker.domain.conversations import Limits
from worker.domain.people import Person, Right
from worker.errors import Permanent
from worker.ports.people import Issuer
from worker.web.api.grants import Grant
from worker.web.api.tokens import LONGEST_NAME, rights_of

LONGEST_SUBJECT = 255
ALL_TENANTS = "*"
_NAMES = ("name", "preferred_username", "email")
"""Claims that may have a name for people, the best one first."""
_FORM = 'OIDC_ROLES: must be JSON such as {"<role>": "operator", "<role>": ["read", "ask"]}'


def roles(setting: str) -> Mapping[str, frozenset[Right]]:
    """Read OIDC_ROLES: JSON, a role of the issuer's → one of ours, or a list of rights. Raises Permanent."""
    try:
        said = foreign.read(setting)
    except ValueError as exc:
        raise Permanent(f"{_FORM}: {exc}") from None
    if not isinstance(said, dict) or not said:
        raise Permanent(_FORM)
    try:
        return {name: rights_of(value) for name, value in said.items()}
    except ValueError as exc:
        raise Permanent(f"OIDC_ROLES: {exc}") from None


@dataclass(frozen=True, slots=True)
class Persons:
    """Makes grants for an issuer's tokens.

    `roles_claim` names the claim with the issuer's roles. `tenants_claim` names one with tenants: with it everybody is
    limited to theirs, null among them stands for conversations without tenant, and `*` for all. A claim inside of
    another one is named with a dot between them. `engine_user_claim` names who a person is in the engine.
    """

    issuer: Issuer
    roles: Mapping[str, frozenset[Right]]
    roles_claim: str
    tenants_claim: str | None = None
    engine_user_claim: str | None = None

    async def grant(self, token: str) -> Grant | None:
        """Find what a token allows; None if it is none of the issuer's. Raises IssuerDown."""
        claims = await self.issuer.claims(token)
        until = _until(claims) if claims is not None else None
        if claims is None or until is None or not 0 < len(claims["sub"]) <= LONGEST_SUBJECT:
            return None
        person = Person(claims["iss"], claims["sub"], _name(claims))
        named = [each for each in _listed(claims, self.roles_claim) if isinstance(each, str)]
        rights = frozenset[Right]().union(*(self.roles.get(each, ()) for each in named))
        users = _listed(claims, self.engine_user_claim) if self.engine_user_claim else []
        # Of several nobody can tell which one it is: then it is nobody in the engine, and sees nothing of it.
        user = users[0] if len(users) == 1 and isinstance(users[0], str) and users[0] else None
        return Grant(person.id, rights, self._limits(claims), person, until, user)

    def _limits(self, claims: Mapping[str, Any]) -> Limits:
        if self.tenants_claim is None:
            return Limits()
        tenants = _listed(claims, self.tenants_claim)
        if ALL_TENANTS in tenants:
            return Limits()
        return Limits(frozenset(each for each in tenants if each is None or isinstance(each, str)))


def _until(claims: Mapping[str, Any]) -> datetime | None:
    """Read when a token ends; None where that is in no calendar."""
    try:
        return datetime.fromtimestamp(int(claims["exp"]), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _name(claims: Mapping[str, Any]) -> str:
    named = (claims.get(each) for each in _NAMES)
    name = next((each for each in named if isinstance(each, str) and each.strip()), claims["sub"])
    return "".join(char if char.isprintable() else "\ufffd" for char in name.strip())[:LONGEST_NAME]


def _listed(claims: Mapping[str, Any], name: str) -> list[Any]:
    """Find a claim by its name, or by its way through others; one value is a list of one."""
    value: Any = claims
    # By its whole name first: issuers' own claims are often called by an address, which has dots.
    for part in [name] if name in claims else name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value if isinstance(value, list) else [] if value is None else [value]
