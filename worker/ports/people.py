"""Who says who a person is."""

from collections.abc import Mapping
from typing import Any, Protocol

from worker.domain.people import Endpoints


class Issuer(Protocol):
    """An issuer of tokens that say who somebody is. Both methods may raise IssuerDown."""

    async def claims(self, token: str) -> Mapping[str, Any] | None:
        """Return what a token says, None unless it is one of the issuer's, for us, and good now.

        `iss`, `sub`, `aud` and `exp` are there.
        """
        ...

    async def endpoints(self) -> Endpoints:
        """Say where people log in."""
        ...
