"""What is known of a customer, a site or a kind of decision beyond one process instance."""

from dataclasses import dataclass
from datetime import datetime


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
