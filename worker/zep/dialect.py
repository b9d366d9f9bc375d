"""What Zep is asked, whichever of its APIs answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Literal, Protocol

from worker.zep.facts import Episode
from worker.zep.messages import Message
from worker.zep.names import UserName
from worker.zep.transport import Reply

AGAIN_SECONDS: Final = 0.3
"""Before it is looked once more for what somebody else is about to make."""

UNKNOWN: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND})
"""What is declared for the id of an episode that is not there."""

Scope = Literal["edges", "episodes"]


@dataclass(frozen=True, slots=True)
class User:
    """A user that is ours. `id` and `graph` are what Zep's paths call it and what it knows."""

    name: UserName
    id: str
    graph: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """A message of a thread: which piece of which exchange, and whether Zep has yet to take it into the graph."""

    ref: str
    part: int
    pending: bool


class Dialect(Protocol):
    """Zep's API in one of its versions. Every method may raise MemoryDown or MemoryRefused.

    None, or an empty list, is Zep's own word that there is nothing; a Reply is a refusal that the caller has to judge.
    What is deleted may be there for a while: True says that Zep has taken the order, False that there was nothing to
    order, or that it goes on already.
    """

    async def find_user(self, name: UserName) -> User | None:
        """Find our user. Raises MemoryRefused where one has its id and does not carry our metadata."""
        ...

    async def add_user(self, name: UserName) -> User | Reply:
        """Make our user."""
        ...

    async def thread(self, user: User, instance: str) -> str | Reply:
        """Find the thread of an instance, or make it."""
        ...

    async def threads(self, user: User, instance: str) -> list[str]:
        """Find all threads of an instance, which are more than one only where ids were lost."""
        ...

    async def orphan(self, name: UserName, instance: str) -> str | None:
        """Find the thread of an instance whose user is not there. What our own rows say of whom it is makes it ours."""
        ...

    async def kept(self, thread: str, most: int) -> list[Kept] | None:
        """Return the newest messages of a thread."""
        ...

    async def add(self, thread: str, messages: list[Message]) -> Reply:
        """Write messages of one memo behind all others."""
        ...

    async def search(self, user: User, query: str, most: int, scope: Scope) -> list[Mapping[str, Any]] | None:
        """Search what was derived or what was said, the best first, as Zep lays it out."""
        ...

    async def episode(self, user: User, name: str) -> Episode | None:
        """Read one."""
        ...

    async def episodes_of(self, user: User, thread: str) -> list[str] | None:
        """Return the ids of all that came from a thread."""
        ...

    async def delete_episode(self, user: User, name: str) -> bool:
        """Delete one, and what was derived of it alone."""
        ...

    async def delete_thread(self, thread: str) -> bool:
        """Delete a thread with its messages. What stands in the graph stays."""
        ...

    async def delete_user(self, user: User) -> bool:
        """Delete a user with all that is known of it."""
        ...

    async def check(self) -> None:
        """Read something that every key may read."""
        ...


def deleted(reply: Reply) -> bool:
    """Whether Zep took an order to delete; see `Dialect`."""
    if not (reply.done or reply.missing or reply.conflicts):
        raise reply.refused()
    return reply.done
