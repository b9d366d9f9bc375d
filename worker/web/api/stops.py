"""The routes by which people stop an assistant, a provider, a topic, a tenant or everything, and lift that again."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Protocol

from fastapi import HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field

from worker.domain.conversations import Limits
from worker.domain.stops import LONGEST_NAME, LONGEST_REASON, Kind, Stop, described, order
from worker.errors import Permanent, StopOfOthers, Transient
from worker.web.api.grants import Grant, MayReadStops, MayStop
from worker.web.api.routing import Extension, adding, below_api, from_application

SHOWN_OF_A_TOKEN = 8
"""Characters of a token's digest by which people tell whose it is."""


class Board(Protocol):
    """What is stopped, as this worker knows it, and the way to change it for all workers, which may raise StoreDown."""

    def known(self) -> Sequence[Stop]:
        """Return all that is stopped."""
        ...

    async def stop(self, stop: Stop) -> None:
        """Order a stop. Raises StopOfOthers, see `Stop.limited`."""
        ...

    async def lift(self, kind: Kind, name: str, *, limited: bool) -> bool:
        """Lift a stop; False if there was none. Raises StopOfOthers where who asks is `limited` and it is not."""
        ...


class Wish(BaseModel):
    """What is to be stopped. `name` is empty for everything. `now`: calls that run are broken off, too."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    name: str = Field("", max_length=LONGEST_NAME)
    reason: str = Field("", max_length=LONGEST_REASON)
    now: bool = False


@dataclass(frozen=True, slots=True)
class _Ports:
    """What the routes stand on. `names` has all names of the kinds in it."""

    board: Board
    names: Mapping[Kind, Collection[str]]


Ports = Annotated[_Ports, from_application(_Ports)]
router = below_api(401, 403, 404, 422, 429, 503)


def stopping(board: Board, names: Mapping[Kind, Collection[str]]) -> Extension:
    """Make the extension that adds the routes. `names` has all names of the kinds in it."""
    return adding(router, _Ports(board, names))


@router.get("/stops")
async def stops(grant: MayReadStops, ports: Ports) -> Sequence[Stop]:
    """What is stopped, by whom, since when and why, as far as this token may see."""
    return _seen(ports.board, grant)


@router.post("/stops")
async def stop(grant: MayStop, ports: Ports, wish: Wish) -> Stop:
    """Stop something for all workers, until it is lifted. An earlier stop of the same is replaced.

    What there is not, or cannot be, is not found: the problem names what there is. A token with limits cannot
    replace, nor lift, the stop of somebody without.
    """
    _check(grant, wish.kind, wish.name.strip())
    with _refusals("Nothing was stopped"):
        ordered = order(
            wish.kind,
            wish.name,
            who(grant),
            ports.names,
            reason=wish.reason,
            now=wish.now,
            limited=_is_limited(grant),
        )
        await ports.board.stop(ordered)
    return ordered


@router.delete("/stops")
async def resume(
    grant: MayStop, ports: Ports, kind: Kind, name: Annotated[str, Query(max_length=LONGEST_NAME)] = ""
) -> Sequence[Stop]:
    """Lift a stop for all workers; returns what is stopped still."""
    _check(grant, kind, name.strip())
    with _refusals("Nothing was lifted"):
        lifted = await ports.board.lift(kind, name.strip(), limited=_is_limited(grant))
    if not lifted:
        raise HTTPException(404, f"{described(kind, name.strip())} is not stopped.")
    return _seen(ports.board, grant)


@contextmanager
def _refusals(outcome: str) -> Iterator[None]:
    """Answer with what keeps a stop from being changed."""
    try:
        yield
    except StopOfOthers as exc:
        raise HTTPException(403, f"{outcome}: {exc}") from exc
    except Permanent as exc:
        raise HTTPException(404, str(exc)) from exc
    except Transient as exc:
        raise HTTPException(503, f"{outcome}: {exc}") from exc


def _seen(board: Board, grant: Grant) -> Sequence[Stop]:
    return [each for each in board.known() if _is_within(grant.limits, each.kind, each.name)]


def _check(grant: Grant, kind: Kind, name: str) -> None:
    if not _is_within(grant.limits, kind, name):
        raise HTTPException(403, "That reaches beyond what this token may see.")


def _is_limited(grant: Grant) -> bool:
    return grant.limits.hides_processes


def _is_within(limits: Limits, kind: Kind, name: str) -> bool:
    """Whether it concerns nobody else: a token with limits has its own tenants, if it has all of their instances."""
    if not limits.hides_processes:
        return True
    return kind == "tenant" and limits.instances is None and limits.tenants is not None and name in limits.tenants


def who(grant: Grant) -> str:
    """Name who orders something, for those who see it later."""
    if grant.is_local:
        return "this machine, over the API"
    return str(grant.person) if grant.person else f"the token {grant.id[:SHOWN_OF_A_TOKEN]}…"
