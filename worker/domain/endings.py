"""What is left of conversations when processes are over, and the receipt of taking it away."""

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from worker.domain.conversations import Stored, Subject, owner
from worker.domain.threads import SHARED_SCOPE, Thread, ThreadKey

HELD = "held: "
"""How it begins what says that a legal hold keeps something, and nothing else."""


class Store(StrEnum):
    """Where something of a conversation can lie."""

    PROVIDER = "provider"
    REDIS = "redis"
    TRANSCRIPT = "transcript"
    ENGINE = "engine"
    ASKS = "asks"
    MEMORY = "memory"


class Status(StrEnum):
    """How it stands with one thing: gone, to be tried again, not to be removed, or gone on a person's word.

    What is accepted was not to be seen with the key in use, and a person has said that it is gone.
    """

    REMOVED = "removed"
    OPEN = "open"
    STAYS = "stays"
    ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to remove: a conversation, a thread's keys, messages, an instance's variables.

    `count` is how much went: items, keys, messages, variables. `why` says what keeps it, without any message text.
    `anchor` names the account that something at the provider is in, as far as anybody knows it.
    """

    store: Store
    what: str
    key: ThreadKey | None = None
    status: Status = Status.OPEN
    at: datetime | None = None
    count: int = 0
    why: str = ""
    anchor: str | None = None

    @property
    def name(self) -> tuple[Store, str]:
        """What tells it from other steps."""
        return self.store, self.what

    @property
    def is_held(self) -> bool:
        """Whether only a legal hold keeps it."""
        return self.status is Status.OPEN and self.why.startswith(HELD)

    def removed(self, count: int, at: datetime) -> "Step":
        """Say that it is done."""
        return replace(self, status=Status.REMOVED, count=self.count + count, at=at, why="")

    def accepted(self, at: datetime) -> "Step":
        """Say that a person takes it for gone."""
        return replace(self, status=Status.ACCEPTED, at=at, why="not seen with this key; said to be gone by a person")

    def kept(self, why: str) -> "Step":
        """Say what keeps it."""
        return replace(self, status=Status.OPEN, why=why)


@dataclass(frozen=True, slots=True)
class Receipt:
    """An order to erase one instance, business key, person or a chat of theirs, or to forget a subject of the memory.

    It says what became of it.

    It is complete when every store was looked into and nothing is open. `forced`: also if an instance runs.
    `look_again_at`: an exchange may have been on its way to the transcript, which is looked at once more from then on.
    `tenants` as in `Subject`, in the order of their names. `results`: what assistants said is also taken from the
    process variables that steps work with. `absent`: a person says that what the key cannot see is gone.
    """

    id: str
    engine: str
    instance: str | None
    business_key: str | None
    ordered_at: datetime
    forced: bool = False
    steps: tuple[Step, ...] = ()
    look_again_at: datetime | None = None
    completed_at: datetime | None = None
    tenants: tuple[str | None, ...] | None = None
    results: bool = False
    absent: bool = False
    person: str | None = None
    chat: str | None = None
    memory: str | None = None

    @property
    def subject(self) -> Subject:
        """Whose conversations."""
        tenants = None if self.tenants is None else frozenset(self.tenants)
        return Subject(self.engine, self.instance, self.business_key, tenants, self.person, self.chat, self.memory)

    @property
    def open(self) -> tuple[Step, ...]:
        """What could not be removed yet."""
        return tuple(step for step in self.steps if step.status is Status.OPEN)

    @property
    def is_held(self) -> bool:
        """Whether legal holds alone keep it from being complete."""
        return bool(self.open) and all(step.is_held for step in self.open)

    @property
    def named(self) -> dict[tuple[Store, str], Step]:
        """The steps by their names."""
        return {step.name: step for step in self.steps}

    def noting(self, *steps: Step) -> "Receipt":
        """The same with steps added, each in the place of the one that has its name."""
        return replace(self, steps=tuple((self.named | {step.name: step for step in steps}).values()))


@dataclass(frozen=True, slots=True)
class Kept:
    """What Redis keeps under one thread key. `instance` is who bound the thread last.

    `former` are threads that were left for this one and are still there. `turns` are names of keys, `strange` those of
    exchanges for sinks, and of kinds that only a newer worker knows. `published`: an answer was kept on the thread, and
    the engine has its variable.
    """

    key: ThreadKey
    thread: Thread | None = None
    instance: str | None = None
    former: tuple[Thread, ...] = ()
    turns: tuple[str, ...] = ()
    strange: tuple[str, ...] = ()
    published: bool = False

    @property
    def owner(self) -> Subject | None:
        """Whose end is this thread's end; None where nobody can tell."""
        return owner(self.key, self.instance)

    @property
    def named(self) -> tuple[Thread, ...]:
        """The threads that the map names."""
        return (*self.former, self.thread) if self.thread else self.former


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """Threads with exchanges that the transcript has yet to get, and since when the oldest that was seen waits.

    Unless they are `whole` there are more than were looked at.
    """

    threads: frozenset[ThreadKey] = frozenset()
    since: datetime | None = None
    whole: bool = True

    def may_have(self, key: ThreadKey) -> bool:
        """Whether a thread has some, as far as that can be told."""
        return not self.whole or key in self.threads


@dataclass(frozen=True, slots=True)
class TurnKept:
    """The journal of one turn. `overdue`: its call was to be over, and nobody has seen its end.

    `response_id` is that of a run in the background. `stored` is what its answers name, which nothing else may know:
    the transcript may not have them yet, nor the engine the variables. They were given in `instances`, which is None
    where a newer worker wrote one of them: then nobody here can tell.
    `newer`: a newer worker wrote some of it. Such a turn is left to it, whatever the other fields say.
    """

    name: str
    task_id: str
    state: str
    attempt: int
    unrecorded: bool
    overdue: timedelta | None = None
    response_id: str | None = None
    newer: bool = False
    stored: Stored = field(default_factory=Stored)
    instances: frozenset[str] | None = frozenset()

    def is_on_its_way(self, instance: str) -> bool:
        """Whether the transcript may have yet to get what an instance said here."""
        return self.unrecorded and (self.newer or self.instances is None or instance in self.instances)


@dataclass(frozen=True, slots=True)
class Trace:
    """A process variable of ours. `past`: as the history has it; else in the execution that it lives in."""

    id: str
    name: str
    value: str
    execution: str | None
    past: bool


def order_id(subject: Subject) -> str:
    """Name the order for a subject: 12 hex digits, the same whoever gives it."""
    kind, name = ("instance", subject.instance) if subject.instance is not None else ("key", subject.business_key)
    if subject.person is not None:
        kind, name = ("person", subject.person) if subject.chat is None else (f"chat of {subject.person}", subject.chat)
    if subject.memory is not None:
        kind, name = "memory", subject.memory
    return hashlib.sha256(json.dumps([kind, subject.engine, name, subject.ordered_tenants]).encode()).hexdigest()[:12]


def is_of(subject: Subject, key: ThreadKey, instances: Collection[str]) -> bool:
    """Whether a thread ends with this subject, which has these instances; of a single task's nobody can tell so."""
    if not may_be_of(subject, key):
        return False
    shared = subject.business_key is not None and key.scope == SHARED_SCOPE + subject.business_key
    return shared or key.scope in instances or subject.has(key)


def may_be_of(subject: Subject, key: ThreadKey) -> bool:
    """Whether a thread is of the subject's engine, and of its tenants if it names some."""
    return key.engine == subject.engine and (subject.tenants is None or key.tenant in subject.tenants)
