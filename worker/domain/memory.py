"""What is known of a customer, a site or a kind of decision beyond one process instance."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, slots=True)
class MemorySubject:
    """Whom something is remembered of, never by name: a digest of (tenant, kind, value).

    The digest has 32 hex digits of SHA-256. `generation` grows when it is forgotten.
    """

    digest: str
    tenant: str | None
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that is known of a subject. `ref` names the attempt that it is from, `id` is the memory's own."""

    id: str
    text: str
    at: datetime
    instance: str
    ref: str


@dataclass(frozen=True, slots=True)
class Memo:
    """What one exchange leaves to be remembered, redacted already. `number` orders the memos of a subject."""

    subject: MemorySubject
    number: int
    instance: str
    ref: str
    assistant: str
    question: str
    answer: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What became of forgetting: how much went, what a vendor keeps of it, and whether it is still going on."""

    removed: int
    stays: str = ""
    open: bool = False


EMBEDDED = "embedded"
"""The memory that is in the transcript's database; any other one is apart from it."""
RECALLED = 5
MOST_RECALLED = 20
"""Facts that a question shows, where a task does not say, and at most."""
NEWEST = 200
"""Of a subject's facts no more are looked at: older ones are found by a search, and come to no question."""
LONGEST_TEXT = 2000
"""Characters of an answer that a fact keeps: the whole stands in the transcript."""
LONGEST_QUESTION = 300


@dataclass(frozen=True, slots=True)
class MemoryWish:
    """What a task wants of the memory, or an assistant for all of its tasks; None leaves it open.

    `subject` is `variable:<name>`, `business-key` or `tenant`, empty for none. `recall` is how many facts at most are
    shown, 0 for none.
    """

    subject: str | None = None
    recall: int | None = None
    remember: bool | None = None
    approve: bool | None = None

    def over(self, usual: "MemoryWish") -> "MemoryWish":
        """The same, with what is usual where it says nothing."""
        own = (getattr(self, name) for name in self.__slots__)
        other = (getattr(usual, name) for name in self.__slots__)
        return MemoryWish(*(mine if mine is not None else its for mine, its in zip(own, other, strict=True)))

    @property
    def most(self) -> int:
        """How many facts are shown."""
        return RECALLED if self.recall is None else self.recall


NO_WISH = MemoryWish()


@dataclass(frozen=True, slots=True)
class ToRemember:
    """What an exchange says of its being remembered: of whom, and by which words it was asked.

    Its question is what the task asks, without inputs: what was recalled would be remembered again and again.
    `kind` says of what kind the subject is, as `MemoryWish.subject` does. `generation` is the subject's by which it was
    asked: of another one nothing is remembered. None where the memory could not tell: then the times decide.
    """

    subject: str
    kind: str
    question: str
    approve: bool = False
    generation: int | None = None


@dataclass(frozen=True, slots=True)
class Recalled:
    """What a question was shown of the memory: ids of facts, or why there are none.

    `subject` is the digest, empty where there is none.
    """

    subject: str = ""
    facts: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that has yet to be remembered, in one worker's hands. `fact` is one that a person has approved.

    `late`: it was refused before, and others of its subject have gone before it.
    """

    number: int
    subject: MemorySubject
    place: int
    instance: str
    ref: str
    assistant: str
    question: str
    answer: str
    at: datetime
    message: str | None
    approve: bool = False
    fact: str | None = None
    late: bool = False


@dataclass(frozen=True, slots=True)
class Proposal:
    """What an answer has left for a person to approve, by the external task that it is the answer to.

    `fact` is None where it has yet to become a fact. `approved` it is if somebody has done so.
    """

    task: str
    subject: str
    fact: str | None
    approved: bool = False


State = Literal["waiting", "late", "proposed", "remembered", "refused", "forgotten"]


@dataclass(frozen=True, slots=True)
class Remembrance:
    """What became of an answer that is to be remembered, and `why` it waits, where that is known.

    `late`: it was tried in vain, steps aside and is tried every hour. `proposed`: it waits for a person, who approves
    or has `refused`. `forgotten`: nothing of it is there (any more).
    """

    subject: str
    state: State
    why: str = ""


Settled = Literal["kept", "before", "gone"]


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much has yet to be remembered: waiting, of it late, and proposals that nobody has approved."""

    waiting: int = 0
    late: int = 0
    proposed: int = 0
    why: str = ""


def fact_text(question: str, answer: str) -> str:
    """Say in one text what was settled: what was asked, on one line, and what came of it."""
    asked = " ".join(question.split())
    asked = asked if len(asked) <= LONGEST_QUESTION else f"{asked[:LONGEST_QUESTION]} …"
    said = answer.strip()
    said = said if len(said) <= LONGEST_TEXT else f"{said[:LONGEST_TEXT]} …"
    return f"Asked: {asked}\nAnswered: {said}"


@dataclass(frozen=True, slots=True)
class KnownSubject:
    """A subject as people see it. `kind` is as in `MemoryWish.subject`; its value is nowhere.

    `facts` are those that are recalled, `proposed` those that nobody has approved yet, and `waiting` is what has yet to
    be remembered.
    """

    digest: str
    kind: str
    tenant: str | None
    generation: int
    changed_at: datetime
    forgotten_at: datetime | None
    facts: int = 0
    proposed: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class KeptFact:
    """A fact as people see it. `message` is the answer that it is from, which may be gone already."""

    id: str
    subject: str
    state: Literal["proposed", "approved"]
    text: str
    instance: str
    assistant: str
    ref: str
    message: str | None
    at: datetime
    approved_by: str | None = None
    approved_at: datetime | None = None
