"""Persons who use the API, and what they may do there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from worker.domain.conversations import digest

Right = Literal["read", "ask", "sway", "hand_over", "erase", "hold", "stop"]
"""None of them brings another: who may ask on a process's own thread has both `ask` and `sway`."""
RIGHTS: Final[frozenset[Right]] = frozenset(get_args(Right))
ROLES: Final[Mapping[str, frozenset[Right]]] = {
    "viewer": frozenset({"read"}),
    "counsel": frozenset({"read", "hold"}),
    "operator": RIGHTS,
}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whom an issuer vouches for. The same subject of two issuers is two persons; `name` is for people."""

    issuer: str
    subject: str
    name: str

    @property
    def id(self) -> str:
        """Name the person: 32 hex digits, no two persons alike."""
        return digest("person", self.issuer, self.subject)

    def __str__(self) -> str:
        """Say who it is: a name may be of the person's own choice."""
        return self.name if self.name == self.subject else f"{self.name} ({self.subject})"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses of an issuer: where a person's browser goes to log in, and where it gets a token for the code."""

    authorization: str
    token: str
