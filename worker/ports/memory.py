"""What keeps things in mind beyond an instance, and what the worker has yet to give it."""

from datetime import timedelta
from typing import Protocol

from worker.domain.memory import Backlog, Fact, Forgotten, Memo, MemorySubject, Waiting


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


class Memos(Protocol):
    """What has yet to be remembered, noted with the exchanges. Every method may raise TranscriptDown."""

    async def claim(self, most: int) -> list[Waiting]:
        """Take what is due; unless it is settled it is due again half a minute later.

        Of each subject the first, and none while that is in somebody's hands or waits; but for those that are late.
        """
        ...

    async def settle(self, done: Waiting, question: str, answer: str) -> bool:
        """Note as a fact what was remembered, in these words, or is proposed; it waits no more.

        False, and nothing noted, if the subject was forgotten meanwhile, or another worker has settled it.
        """
        ...

    async def postpone(self, waiting: Waiting, by: timedelta, *, late: bool = False, why: str = "") -> None:
        """Have it due again later. `late`: others of its subject need not wait for it any more."""
        ...

    async def backlog(self) -> Backlog:
        """How much waits."""
        ...
