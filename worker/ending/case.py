"""What is to end, with what the stores tell each other of it, and what each store has to be able to do."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Iterable
from dataclasses import dataclass, field, replace

from worker.domain.conversations import Stored, Subject
from worker.domain.endings import Kept, Status, Step, Store, TurnKept
from worker.domain.threads import Hold, ThreadKey
from worker.ending.ports import EndingPorts, cancel_runs, run_address, why
from worker.errors import ThreadUnseen

LOOK = "what there is"
CONVERSATION = "conversation "


@dataclass(slots=True)
class Case:
    """One subject that is erased, or one thread that ends by age.

    `results` and `absent` as in `Receipt`, `before` what its steps were. `unrecorded`: turns that the transcript may
    not have go as well. `hold` is that of the thread which is being erased. Conversations and responses go by their
    addresses: `threads` are its conversations, `anchors` those of conversations and `responses` each response's
    conversation, as far as they are known. `shared` stay. `guesses` are conversations that variables name, `told`
    responses that they name. `late` are threads that instances share on which the instance has said something that the
    transcript had yet to get when the look began. `failed` is what could not be looked into.
    """

    ports: EndingPorts
    subject: Subject
    results: bool = False
    absent: bool = False
    unrecorded: bool = False
    before: tuple[Step, ...] = ()
    hold: Hold = field(init=False)
    instances: set[str] = field(default_factory=set)
    kept: dict[ThreadKey, Kept] = field(default_factory=dict)
    threads: dict[str, ThreadKey] = field(default_factory=dict)
    anchors: dict[str, str | None] = field(default_factory=dict)
    shared: dict[str, ThreadKey] = field(default_factory=dict)
    responses: dict[str, str | None] = field(default_factory=dict)
    guesses: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)
    late: frozenset[ThreadKey] = frozenset()
    failed: list[Step] = field(default_factory=list)

    async def find_instances(self) -> None:
        """Find which instances had the business key. Raises EngineDown."""
        key, tenants = str(self.subject.business_key), self.subject.tenants
        self.instances.update(await self.ports.instances.ran_with(key, tenants))

    async def trying(self, store: Store, looking: Awaitable[None]) -> None:
        """Look into a place."""
        try:
            await looking
        except Exception as exc:  # noqa: BLE001 - what is odd in one place keeps nothing in the others
            self.failed.append(Step(store, LOOK, why=why(exc)))

    async def quiet(self, hold: Hold) -> list[TurnKept]:
        """End the runs of a thread that is held, and take what its map names now; returns its turns.

        Raises NewerRecord, with nothing ended.
        """
        index, known = self.ports.index, self.kept.get(hold.key, Kept(hold.key))
        kept = replace(known, thread=await index.thread(hold.key))
        turns = await cancel_runs(self.ports, kept)
        self.hold = hold
        self.take(kept, turns if kept.thread else ())
        return turns

    def take(self, kept: Kept, turns: Iterable[TurnKept]) -> None:
        """Take what Redis has under a key."""
        self.kept[kept.key] = kept
        for thread in kept.named:
            self.threads[thread.address] = kept.key
            self.see(thread.address, thread.anchor)
        for turn in turns:
            if turn.newer:
                continue
            if turn.response_id:
                self.responses[run_address(kept, turn.response_id)] = kept.thread.address if kept.thread else None
            self.threads |= dict.fromkeys(turn.stored.threads, kept.key)
            self.note(turn.stored)

    def note(self, stored: Stored) -> None:
        """Take what messages name."""
        for thread_id, anchor in stored.threads.items():
            self.see(thread_id, anchor)
        self.responses |= stored.responses

    def see(self, thread_id: str, anchor: str | None) -> None:
        """Take which account a conversation is in, if that is known now."""
        self.anchors[thread_id] = anchor or self.anchors.get(thread_id)

    def left(self, step: Step, error: Exception) -> Step:
        """Say why a step is open; what cannot be seen is not, where a person has said that it is gone."""
        accepted = isinstance(error, ThreadUnseen) and self.absent
        return step.accepted(self.ports.now()) if accepted else step.kept(why(error))


class Place(ABC):
    """One store, for one case. Its steps are those of `store` whose `what` begins with `kind`.

    Steps with a key are erased under the hold of that thread, the others after all of those. `waits`: it names
    conversations, and is left until no such step is open at the provider. `at_once`: how many steps are noted together.
    """

    store: Store
    kind = ""
    waits = False
    at_once = 1

    def __init__(self, case: Case) -> None:
        self.case = case

    async def find(self) -> None:
        """Look for what is the subject's, and tell the case what others need. May raise what its port does."""
        return

    @abstractmethod
    def steps(self) -> list[Step]:
        """What there is to erase, by what the case knows."""

    @abstractmethod
    def erase(self, step: Step) -> AsyncIterator[Step]:
        """Erase; may be repeated. Yields the step whenever more of it is done.

        One that is still open when it is yielded is to be noted at once: what it says cannot be found out later.
        """

    def has(self, step: Step) -> bool:
        """Whether this place erases it."""
        return step.store is self.store and step.what.startswith(self.kind) and not is_passing(step)

    def name(self, step: Step) -> str:
        """What its port calls it."""
        return step.what.removeprefix(self.kind)

    def done(self, step: Step, count: int) -> Step:
        """Say that so much more of it went."""
        return step.removed(count, self.case.ports.now())


def is_passing(step: Step) -> bool:
    """Whether it is for the next look to say: a store could not be read, or nobody could tell whose a guess is."""
    guess = step.key is None and step.what.startswith(CONVERSATION)
    return step.status is Status.OPEN and (guess or step.what == LOOK)
