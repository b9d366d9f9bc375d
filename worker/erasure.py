"""What is left of conversations when processes are over: where it lies, who takes it away, and the receipt of that."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from worker.conversations import Subject, owner
from worker.domain import SHARED_SCOPE, Hold, Thread, ThreadKey


class Store(StrEnum):
    """Where something of a conversation can lie."""

    PROVIDER = "provider"
    REDIS = "redis"
    TRANSCRIPT = "transcript"
    ENGINE = "engine"


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

    def removed(self, count: int, at: datetime, why: str = "") -> "Step":
        """Say that it is done."""
        return replace(self, status=Status.REMOVED, count=self.count + count, at=at, why=why)

    def accepted(self, at: datetime) -> "Step":
        """Say that a person takes it for gone."""
        return replace(self, status=Status.ACCEPTED, at=at, why="not seen with this key; said to be gone by a person")

    def kept(self, why: str, status: Status = Status.OPEN) -> "Step":
        """Say what keeps it."""
        return replace(self, status=status, why=why)


@dataclass(frozen=True, slots=True)
class Receipt:
    """An order to erase one instance or business key, and what became of it.

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

    @property
    def subject(self) -> Subject:
        """Whose conversations."""
        tenants = None if self.tenants is None else frozenset(self.tenants)
        return Subject(self.engine, self.instance, self.business_key, tenants)

    @property
    def open(self) -> tuple[Step, ...]:
        """What could not be removed yet."""
        return tuple(step for step in self.steps if step.status is Status.OPEN)

    @property
    def named(self) -> dict[tuple[Store, str], Step]:
        """The steps by their names."""
        return {step.name: step for step in self.steps}

    def noting(self, *steps: Step) -> "Receipt":
        """The same with steps added, each in the place of the one that has its name."""
        return replace(self, steps=tuple((self.named | {step.name: step for step in steps}).values()))


@dataclass(frozen=True, slots=True)
class Kept:
    """What Redis keeps under one thread key. `turns` are names of keys; `instance` is who bound the thread last."""

    key: ThreadKey
    thread: Thread | None = None
    instance: str | None = None
    turns: tuple[str, ...] = ()

    @property
    def owner(self) -> Subject | None:
        """Whose end is this thread's end; None where nobody can tell."""
        return owner(self.key, self.instance)

    @property
    def conversations(self) -> frozenset[str]:
        """The conversation that the map names, if it names one."""
        return frozenset([self.thread.id] if self.thread else [])


@dataclass(frozen=True, slots=True)
class TurnKept:
    """The journal of one turn. `overdue`: its call was to be over, and nobody has seen its end."""

    name: str
    task_id: str
    state: str
    attempt: int
    unrecorded: bool
    overdue: timedelta | None = None
    response_id: str | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """A process variable of ours. `past`: as the history has it; else in the execution that it lives in."""

    id: str
    name: str
    value: str
    execution: str | None
    past: bool


class Census(Protocol):
    """What Redis keeps, thread by thread. Every method may raise StoreDown."""

    lease: timedelta
    """How long a hold lives without renewal."""

    async def threads(self) -> list[Kept]:
        """Look at everything of this engine's."""
        ...

    async def thread(self, key: ThreadKey) -> Thread | None:
        """Read the map."""
        ...

    async def turns(self, kept: Kept) -> list[TurnKept]:
        """Read a thread's turns."""
        ...

    async def reserve(self, key: ThreadKey) -> Hold | None:
        """Take the hold for ourselves, so that no turn starts; None if one is on."""
        ...

    async def renew(self, hold: Hold) -> bool:
        """Hold on for another lease. False if the hold is lost."""
        ...

    async def release(self, hold: Hold) -> None:
        """Let go of the hold, with nothing changed."""
        ...

    async def forget(self, hold: Hold, kept: Kept, *, unrecorded: bool) -> tuple[int, int]:
        """Remove the map if it names this thread, and the turns; how many keys went, and how many stay.

        Turns that the transcript may not have yet stay, unless `unrecorded`. Lets go of the hold; raises StoreDown if
        it is lost.
        """
        ...

    async def remember(self, key: ThreadKey) -> None:
        """Start the map's time anew: its instance still runs."""
        ...

    async def anchor(self, key: ThreadKey, thread: Thread) -> None:
        """Note which account a thread is in, if the map names this thread."""
        ...


class Ledger(Protocol):
    """What is to be done about conversations later. Every method may raise StoreDown."""

    async def keep(self, receipt: Receipt) -> None:
        """Keep an order, under its id: among the open ones, or for some months if it is complete."""
        ...

    async def receipt(self, order: str) -> Receipt | None:
        """Read an order, open or complete. Raises CorruptRecord, a StoreDown, for this one only."""
        ...

    async def open_orders(self) -> list[str]:
        """Ids of orders that are not complete."""
        ...

    async def watch(self, missing: Collection[Subject], at: datetime) -> None:
        """Remember since when the engine does not know these. Others that were missing are forgotten."""
        ...

    async def missing(self) -> Mapping[Subject, datetime]:
        """Whom the engine does not know, and since when."""
        ...

    async def lock(self, token: str, lease: timedelta) -> bool:
        """Be, or stay, the one who does the round. False if somebody else is."""
        ...

    async def unlock(self, token: str) -> None:
        """Let others do the next round."""
        ...


class Instances(Protocol):
    """Which process instances run, and what of ours they have. Every method may raise EngineDown."""

    async def running(self, ids: Collection[str]) -> frozenset[str]:
        """Which of these run, suspended ones included."""
        ...

    async def ended(self, ids: Collection[str]) -> Mapping[str, datetime | None]:
        """When these ended, as far as the history knows them; None for one that has not."""
        ...

    async def runs_with(self, business_key: str, tenants: frozenset[str | None] | None = None) -> bool:
        """Whether any instance with this business key runs. `tenants` as in `Subject`."""
        ...

    async def ran_with(
        self, business_key: str, tenants: frozenset[str | None] | None = None
    ) -> Mapping[str, datetime | None]:
        """Instances with this business key that the history knows, and when they ended. `tenants` as above."""
        ...

    async def traces(self, instance: str, *, results: bool = False) -> list[Trace]:
        """Variables that we wrote, history included: the threads' ids, the results' meta, and the results if wanted.

        A result, which nobody can tell but by its meta, comes before it.
        """
        ...

    async def wipe(self, trace: Trace) -> None:
        """Delete a variable; one that is gone is fine."""
        ...


class Runs(Protocol):
    """Turns in the background at a provider. May raise what `ports.Model` may; see there."""

    async def run_status(self, response_id: str) -> str | None:
        """How a turn in the background stands, in the provider's word; None if it is not known."""
        ...

    async def cancel(self, response_id: str) -> None:
        """End a turn in the background; one that is over, or is not known, is fine."""
        ...


class Archive(Runs, Protocol):
    """What a provider keeps, as its adapter sees it: not found is not found, whatever the reason."""

    async def metadata(self, thread_id: str) -> Mapping[str, str]:
        """What `create_thread` was given. Raises ThreadGone."""
        ...

    async def erase_thread(self, thread_id: str) -> int:
        """Delete items, then the conversation, and see that it is gone; how many items went. May be repeated."""
        ...

    async def erase_response(self, response_id: str) -> bool:
        """Delete a stored response; False if there is none."""
        ...

    async def conversation_of(self, response_id: str) -> str | None:
        """The conversation that a stored response was given on, None if on none. Raises ThreadGone."""
        ...


class Provider(Runs, Protocol):
    """The keeper of conversations, who knows whose account the key sees.

    `anchor` names the account that something is in, see `domain.Anchor`. Where the key does not read it every method
    raises ThreadUnseen instead of calling anything absent.
    """

    async def metadata(self, thread_id: str, anchor: str | None) -> Mapping[str, str]:
        """What `create_thread` was given. Raises ThreadGone.

        Without an anchor, of a conversation that nobody knows but a variable, every known one has to be read for that.
        """
        ...

    async def see(self, thread_id: str) -> str:
        """Read a conversation of which nobody noted the account, and return the anchor of that."""
        ...

    async def erase_thread(self, thread_id: str, anchor: str) -> int:
        """Delete items, then the conversation, and see that it is gone; how many items went. May be repeated."""
        ...

    async def erase_response(self, response_id: str, anchor: str | None) -> bool:
        """Delete a stored response; False if it is gone already."""
        ...

    async def conversation_of(self, response_id: str) -> str | None:
        """The conversation that a stored response was given on, None if on none. Raises ThreadGone."""
        ...


def is_of(subject: Subject, key: ThreadKey, instances: Collection[str]) -> bool:
    """Whether a thread ends with this subject, which has these instances; of a single task's nobody can tell so."""
    if not may_be_of(subject, key):
        return False
    shared = subject.business_key is not None and key.scope == SHARED_SCOPE + subject.business_key
    return shared or key.scope in instances


def may_be_of(subject: Subject, key: ThreadKey) -> bool:
    """Whether a thread is of the subject's engine, and of its tenants if it names some."""
    return key.engine == subject.engine and (subject.tenants is None or key.tenant in subject.tenants)
