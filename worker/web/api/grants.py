"""What somebody may do, and the parameters by which routes ask for it."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, HTTPException
from starlette.requests import HTTPConnection

from worker.domain.conversations import EVERYTHING, Limits
from worker.domain.people import RIGHTS, Person, Right


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token allows, and whose it is, if that is known. Limits hold for every right.

    `id` is the token's digest: good to count by, and of no use to whoever reads it.
    """

    id: str
    rights: frozenset[Right]
    limits: Limits = EVERYTHING
    person: Person | None = None

    @property
    def role(self) -> Literal["viewer", "operator"]:
        """Say it in one word: an operator has every right."""
        return "operator" if self.rights >= RIGHTS else "viewer"


def token_digest(token: str) -> str:
    """Name a token without telling it: 64 hex digits."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def _known(connection: HTTPConnection) -> Grant:
    # The gate in front of all routes has put it there; a route that is reached without it is closed.
    grant = connection.scope.get("grant")
    if not isinstance(grant, Grant):
        raise HTTPException(401)
    return grant


Known = Annotated[Grant, Depends(_known)]
"""A route's parameter of this type lets everybody in who has a token."""


def _who_may(right: Right) -> Callable[[Known], Grant]:
    """Make what refuses those without this right."""

    def granted(grant: Known) -> Grant:
        if right not in grant.rights:
            raise HTTPException(403, f"This needs the right {right}, which this token lacks.")
        return grant

    return granted


MayRead = Annotated[Grant, Depends(_who_may("read"))]
"""A route's parameter of this type lets in who may read; the others, who may do what they are called by."""
MayAsk = Annotated[Grant, Depends(_who_may("ask"))]
MaySway = Annotated[Grant, Depends(_who_may("sway"))]
MayHandOver = Annotated[Grant, Depends(_who_may("hand_over"))]
MayErase = Annotated[Grant, Depends(_who_may("erase"))]
MayStop = Annotated[Grant, Depends(_who_may("stop"))]
