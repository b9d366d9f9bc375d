"""What keeps things in mind beyond an instance, and what the worker has yet to give it."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from worker.domain.conversations import Limits
from worker.domain.memory import (
    Backlog,
    Fact,
    Forgotten,
    KeptFact,
    KnownSubject,
    Memo,
    MemorySubject,
    Proposal,
    Settled,
    Waiting,
)


class Memory(Protocol):
    """Keeps what is known of subjects.

    Every method may raise MemoryDown, which is no positive answer: nothing may be taken for absent; or MemoryRefused,
    for the key or for what was asked: it is no use to ask again before somebody changes something.
    """

    name: str  # "embedded" or "zep"

    async def recall(
        self, subject: MemorySubject, question: str, most: int, *, meaning: Sequence[float] | None = None
    ) -> list[Fact]:
        """Return what is known, the newest or most fitting first, of each ref once.

        `meaning` is the question's, as an `Embedder` tells it, where that is known; a memory need not care.
        """
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


class Embedder(Protocol):
    """Tells what texts mean, as numbers that are close where meanings are. Its methods may raise as a model's do."""

    model: str
    provider: str

    async def embed(self, texts: Sequence[str]) -> list[Sequence[float]]:
        """Return as many numbers for each text, in their order. Raises BadRequest where one of the texts is refused."""
        ...


class Vectors(Protocol):
    """Where it is kept what facts mean. Every method may raise TranscriptDown."""

    is_ready: bool
    """Whether there is a place for them, as far as that was looked at."""

    async def is_installed(self) -> bool:
        """Look whether there can be a place for them. Nothing is changed."""
        ...

    async def ready(self) -> bool:
        """Make a place for them, if there can be one; whether there is."""
        ...

    async def claim(self, most: int) -> Mapping[str, str]:
        """Take facts that are recalled and nobody has embedded: their texts by their ids. A minute later others may."""
        ...

    async def keep(self, vectors: Mapping[str, Sequence[float]]) -> None:
        """Keep what these facts mean; of one that is gone, nothing."""
        ...

    async def aside(self, fact: str) -> None:
        """Leave one alone for a day."""
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


class Memos(Protocol):
    """What has yet to be remembered, noted with the exchanges. Every method may raise TranscriptDown."""

    async def claim(self, most: int, *, only_proposed: bool = False) -> list[Waiting]:
        """Take what is due; unless it is settled it is due again half a minute later.

        Of each subject the first, and none while that is in somebody's hands or waits; but for those that are late, and
        for what is only proposed yet, which the memory is not given: for that nobody waits, and it for nobody.
        """
        ...

    async def settle(self, done: Waiting, question: str, answer: str) -> Settled:
        """Note as a fact what was remembered, in these words, or is proposed; it waits no more.

        Nothing is noted if another worker has done so before, or if it was forgotten meanwhile and is `gone`.
        """
        ...

    async def postpone(self, waiting: Waiting, by: timedelta, *, late: bool = False, why: str = "") -> None:
        """Have it due again later. `late`: others of its subject need not wait for it any more."""
        ...

    async def delay(self, why: str) -> None:
        """Note why nothing can be remembered now, where nothing is noted yet. Nothing is due any later for that."""
        ...

    async def backlog(self) -> Backlog:
        """How much waits."""
        ...


class Subjects(Protocol):
    """What is noted of subjects."""

    async def known(self, subject: MemorySubject) -> MemorySubject | None:
        """Return it in its present generation; None if nothing was ever to be remembered of it. May raise MemoryDown.

        Who gives up waits no longer.
        """
        ...


@runtime_checkable
class Recollection(Protocol):
    """A memory that stands where subjects are noted: one look tells what it knows, and of which generation."""

    async def recollect(self, subject: MemorySubject, question: str, most: int) -> tuple[int | None, list[Fact]]:
        """Return the subject's present generation, and what `Memory.recall` returns; None where it knows nothing.

        Raises as that.
        """
        ...


class FactBook(Subjects, Protocol):
    """What was remembered, as people see it and as erasing finds it. Every other method may raise TranscriptDown.

    `within` is what the reader may see: only its tenants count, as a subject is beyond instances.
    """

    async def subjects(
        self, within: Limits, limit: int = 100, before: tuple[datetime, str] | None = None
    ) -> list[KnownSubject]:
        """Return subjects, the latest change first."""
        ...

    async def subject(self, digest: str, within: Limits) -> KnownSubject | None:
        """Return one."""
        ...

    async def know(self, subject: MemorySubject, kind: str) -> None:
        """Note a subject of which nothing was ever to be remembered, `kind` as in `MemoryWish.subject`.

        Forgotten then, it is also by the turns whose questions were put before.
        """
        ...

    async def facts(self, digest: str, words: str = "", limit: int = 200) -> list[KeptFact]:
        """Return what is known or proposed of a subject, the newest first; those with all of these words, if any."""
        ...

    async def proposals(self, instance: str) -> list[Proposal]:
        """Tell what an instance of this engine has left for persons to approve, also what they have approved."""
        ...

    async def approve(self, fact: str, digest: str, by: str) -> bool:
        """Have a proposal be recalled from now on, and given to the memory. False if there is none (any more)."""
        ...

    async def drop_fact(self, fact: str, digest: str, *, only_proposed: bool = False) -> bool:
        """Delete one fact, or refuse a proposal. False if there is none (any more)."""
        ...

    async def of_instances(self, instances: Collection[str]) -> list[tuple[MemorySubject, str]]:
        """Tell of which subjects these have left something, or are to."""
        ...

    async def drop_instance(self, subject: MemorySubject, instance: str) -> int:
        """Delete what an instance has left of a subject, and what of it waits; how much."""
        ...

    async def drop(self, subject: MemorySubject) -> int:
        """Delete everything of a subject that is of this generation or an older one, and begin the next; how much."""
        ...
