"""Where it is kept what persons ask, until it is answered and as long as its record lives."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Protocol

from worker.domain.asks import Ask, State
from worker.domain.conversations import Subject
from worker.domain.people import Person
from worker.domain.threads import ThreadKey


class AskBook(Protocol):
    """All workers of one engine share it. Every method may raise TranscriptDown.

    Times are by the clock of the database. What a holder does is refused once another one has the ask.
    """

    async def begin(self, key: ThreadKey, person: Person) -> None:
        """Have a session, in which nothing was said, for a person's thread beside all processes; or what is there."""
        ...

    async def accept(self, ask: Ask) -> Ask:
        """Keep an ask; returns when it is safe on disk. One that is there under its id stays, and is returned.

        Raises AskedOtherwise where that one has another text, and Unstorable where the thread has no session.
        """
        ...

    async def ask(self, ask_id: str) -> Ask | None:
        """One ask."""
        ...

    async def of_session(self, session_id: str, limit: int = 100) -> Sequence[Ask]:
        """So many asks about the thread of a session, the newest first, and all others that are not over."""
        ...

    async def oldest(self, target: ThreadKey) -> Ask | None:
        """The oldest ask that is yet to be answered on a thread."""
        ...

    async def waiting(self, person: Person, most: int) -> int:
        """How many asks of a person are yet to be answered, counted up to so many."""
        ...

    async def claim(self, most: int, lease: timedelta, but: Collection[str] = ()) -> Sequence[Ask]:
        """Have asks that are due, for so long, but for those with these ids; of each thread the oldest alone.

        One that its holder has not been heard of about is due again, with a death more.
        """
        ...

    async def renew(self, ask: Ask, lease: timedelta) -> bool:
        """Have it for another lease. False if it is not ours any more."""
        ...

    async def postpone(self, ask: Ask, by: timedelta, *, begun: bool = True) -> bool:
        """Let go of it, for anybody to have again so much later. False as above.

        Who has `begun` with it has outlived it: deaths are counted from 0 again.
        """
        ...

    async def settle(self, ask: Ask, state: State, failure: str = "", answer: str | None = None) -> bool:
        """Say for good what came of it. False as above."""
        ...

    async def withdraw(self, ask_id: str) -> Ask | None:
        """Withdraw one that nobody has begun with; returns how it stands with it then."""
        ...

    async def make_way(self, ask: Ask) -> bool:
        """Withdraw for this ask what its person has waiting on its target.

        False, and nothing is withdrawn, where some of that is being answered.
        """
        ...

    async def backlog(self) -> int:
        """How many are not answered yet."""
        ...


class AskEraser(Protocol):
    """What the end of conversations takes away of asks. Every method may raise TranscriptDown."""

    async def oldest(self, target: ThreadKey) -> Ask | None:
        """See `AskBook.oldest`."""
        ...

    async def spoken_on(self, subject: Subject) -> Sequence[ThreadKey]:
        """Threads of processes on which a person was answered, or is to be."""
        ...

    async def unsay(self, subject: Subject) -> tuple[int, int, int]:
        """Take from the record what a person asked about processes, with its answers, and said of answers there.

        Of messages and feedback a mark is left, and the asks are deleted; but for those that are being answered now, or
        whose answer is yet to be recorded, and for those that a record on hold cites. Returns how much went, how many
        asks are left, and how many of those a hold keeps.
        """
        ...

    async def count(self, subjects: Sequence[Subject]) -> int:
        """How many these have."""
        ...

    async def remove(self, subjects: Sequence[Subject]) -> int:
        """Delete what these have, answered or not; how many went."""
        ...

    async def drop(self, sessions: Sequence[str]) -> int:
        """Delete what was asked about the threads of these sessions; how many went."""
        ...
