"""What somebody may do, and the parameters by which routes ask for it."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Literal, Protocol

from fastapi import Depends, HTTPException
from starlette.requests import HTTPConnection

from worker.domain.conversations import Limits
from worker.domain.people import RIGHTS, Person, Right
from worker.errors import Transient

LOCAL = "local"
_ALL = Limits()


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token allows, and whose it is, if that is known. Limits hold for every right.

    `id` is the token's digest, or of an issuer's token the person's id: good to count by, and of no use to whoever
    reads it. After `until`, where there is one, the token is good for nothing. `engine_user` is who it is in the
    engine, if anybody.
    """

    id: str
    rights: frozenset[Right]
    limits: Limits = _ALL
    person: Person | None = None
    until: datetime | None = None
    engine_user: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether it is nobody's in particular, but whose who sits at this machine."""
        return self.id == LOCAL

    @property
    def who(self) -> str:
        """Name who it is, over all of their tokens as far as that is known."""
        return self.person.id if self.person else self.id

    @property
    def speaker(self) -> Person:
        """Say who speaks by it; where nobody named a token, it is the token."""
        return self.person or Person("token", self.id, f"the token {self.id[:8]}…")

    @property
    def personal(self) -> "Grant":
        """The same, which lets its person see what they have with assistants beside all processes."""
        return replace(self, limits=replace(self.limits, persons=frozenset([self.speaker.id])))

    @property
    def role(self) -> Literal["viewer", "operator"]:
        """Say it in one word: an operator has every right."""
        return "operator" if self.rights >= RIGHTS else "viewer"


def person_of(grant: Grant, nobody: str) -> Person:
    """Return whose the token is; where it says of nobody, that is answered with this sentence."""
    if grant.person is None:
        raise HTTPException(403, nobody)
    return grant.person


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


class Sight(Protocol):
    """Knows what of the record somebody may see who may see less elsewhere."""

    async def narrowed(self, grant: Grant) -> Grant:
        """Leave what may be seen there, too. Raises Transient where that cannot be told."""
        ...


def _who_may(right: Right) -> Callable[[Known], Grant]:
    """Make what refuses those without this right."""

    def granted(grant: Known) -> Grant:
        if right not in grant.rights:
            raise HTTPException(403, f"This needs the right {right}, which this token lacks.")
        return grant

    return granted


async def granted(right: Right, grant: Grant, sight: Sight | None) -> Grant:
    """Find what somebody may do by a right to what is of processes: the grant says to which. Raises HTTPException."""
    may = _who_may(right)(grant)
    try:
        return await sight.narrowed(may) if sight else may
    except Transient as exc:
        raise HTTPException(503, f"What the engine lets you see cannot be told now: {exc}") from exc


def _of_processes(right: Right) -> Callable[[HTTPConnection, Grant], Awaitable[Grant]]:
    """Make what refuses those without this right, for a route that is of processes."""

    async def of_processes(connection: HTTPConnection, grant: Known) -> Grant:
        return await granted(right, grant, connection.scope.get("sight"))

    return of_processes


MayRead = Annotated[Grant, Depends(_of_processes("read"))]
"""A route's parameter of this type lets in who may read; the others, who may do what they are called by."""
MayAsk = Annotated[Grant, Depends(_of_processes("ask"))]
MayTalk = Annotated[Grant, Depends(_who_may("ask"))]
"""Beside all processes: what of those somebody may see is no matter."""
MaySway = Annotated[Grant, Depends(_of_processes("sway"))]
MayHandOver = Annotated[Grant, Depends(_of_processes("hand_over"))]
MayHold = Annotated[Grant, Depends(_of_processes("hold"))]
MayErase = Annotated[Grant, Depends(_of_processes("erase"))]
MayReadStops = Annotated[Grant, Depends(_who_may("read"))]
MayStop = Annotated[Grant, Depends(_who_may("stop"))]
"""Stops are the worker's: what the engine lets somebody see is no matter, nor whether it can be asked."""
