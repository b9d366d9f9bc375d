"""What keeps things in mind beyond an instance, and what the worker has yet to give it."""

from typing import Protocol

from worker.domain.memory import Fact, Forgotten, Memo, MemorySubject


class Memory(Protocol):
    """Keeps what is known of subjects.

    Every method may raise MemoryDown, which is no positive answer: nothing may be taken for absent; or MemoryRefused,
    for the key or for what was asked: it is no use to ask again before somebody changes something.
    """

    name: str  # "embedded" or "zep"

    async def recall(self, subject: MemorySubject, question: str, most: int) -> list[Fact]:
        """Return what is known, the newest or most fitting first, of each ref once."""
        ...

    async def remember(self, memo: Memo) -> None:
        """Keep it. It may come more than once, and is told apart by its ref."""
        ...

    async def forget(self, subject: MemorySubject) -> Forgotten:
        """Forget everything of the subject."""
        ...

    async def forget_instance(self, subject: MemorySubject, instance: str) -> Forgotten:
        """Forget what one process instance has left."""
        ...

    async def check(self) -> None:
        """Return if it can be reached and the key is good."""
        ...


class KnownIds(Protocol):
    """What a memory that gives ids itself calls what is ours. Both methods may raise MemoryDown.

    It may forget: the memory is asked again then. What it still has must not be older than what it was last given.
    """

    async def get(self, name: str) -> str | None:
        """Return the memory's id for what we call so, None where none is known."""
        ...

    async def put(self, name: str, theirs: str) -> None:
        """Know this one from now on, whatever was known before."""
        ...
