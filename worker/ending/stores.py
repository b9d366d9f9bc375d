"""The stores of a conversation, one class each: how it finds what is a subject's, and erases it."""

from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import TypeGuard

from worker.domain import meta
from worker.domain.conversations import EVERYTHING, Filter, MessageFilter, Subject, session_id
from worker.domain.endings import HELD, Kept, Status, Step, Store, Trace, Unrecorded, is_of, may_be_of
from worker.domain.memory import EMBEDDED, Forgotten, MemorySubject
from worker.domain.tasks import THREAD_VARIABLE, Variable
from worker.domain.threads import SHARED_SCOPE, TASK_SCOPE, ThreadKey, address
from worker.ending.case import CONVERSATION, LOOK, Case, Place
from worker.ending.ports import sessions, why
from worker.errors import BadRequest, ThreadGone, ThreadLocked
from worker.modelling.result import read_thread_variable
from worker.ports.decisions import DecisionEraser
from worker.ports.ending import Counted, Counting, ThreadIndex
from worker.ports.memory import FactBook

LONGEST_ID = 500
SHARED = "other instances share this conversation"
OF_PROCESS = "it is a process's conversation, which knows what was said there until its process ends"
LATE = "what it said in a conversation that instances share has yet to come to the transcript"
LATE_AND_OFF = (
    f"{LATE}, and TRANSCRIPT_URL is off: set it for the workers, and it is erased when it has come there; "
    "or leave it, as it goes seven days after its answer"
)
FOREIGN = "only a process variable names it, and the provider says that it belongs elsewhere"


class Conversations(Place):
    """Conversations at the provider. Only what it says to be the subject's goes, whatever variables name."""

    store = Store.PROVIDER
    kind = CONVERSATION

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self._foreign: list[str] = []

    async def find(self) -> None:
        """See `Place.find`."""
        case = self.case
        guesses = case.guesses - case.threads.keys() - case.shared.keys()
        for thread_id in filter(case.ports.provider.keeps, sorted(guesses)):
            try:
                await self._check(thread_id)
            except (ThreadGone, BadRequest):  # what the variable names is not there, whoever wrote it
                continue
            except Exception as exc:  # noqa: BLE001 - what is odd about one keeps no other
                case.failed.append(case.left(Step(self.store, self.kind + thread_id), exc))
        # An earlier run has noted which account each is in, and nothing else may know it any more.
        for step in filter(self.has, case.before):
            case.see(self.name(step), step.anchor)

    async def _check(self, thread_id: str) -> None:
        """Take a thread that a variable names if its metadata say that it is ours: a call activity copies variables."""
        case = self.case
        facts = await case.ports.provider.metadata(thread_id, case.anchors.get(thread_id))
        scope, assistant = facts.get("scope", ""), facts.get("assistant", "")
        key = ThreadKey(facts.get("engine", ""), scope, assistant, facts.get("tenant") or None)
        if assistant and is_of(case.subject, key, case.instances):
            case.threads[thread_id] = key
            case.kept.setdefault(key, Kept(key))
        elif key.engine == case.subject.engine and assistant and scope.startswith(SHARED_SCOPE):
            case.shared[thread_id] = key
        else:
            self._foreign.append(thread_id)

    def steps(self) -> list[Step]:
        """See `Place.steps`."""
        here, kind, case = self.store, self.kind, self.case
        own = [
            Step(here, kind + name, key, anchor=case.anchors.get(name))
            for name, key in case.threads.items()
            if case.ports.provider.keeps(name)
        ]
        shared = [Step(here, kind + name, key, Status.STAYS, why=SHARED) for name, key in case.shared.items()]
        foreign = [Step(here, kind + name, status=Status.STAYS, why=FOREIGN) for name in self._foreign]
        return own + shared + foreign

    async def erase(self, step: Step) -> AsyncIterator[Step]:
        """See `Place.erase`."""
        case, thread_id = self.case, self.name(step)
        anchor = step.anchor or await case.ports.provider.see(thread_id)
        if step.anchor is None:
            # Noted before it is erased: afterwards nothing tells in which account it was, and a 404 proves nothing.
            step = replace(step, anchor=anchor)
            case.see(thread_id, anchor)
            thread = case.kept[case.hold.key].thread
            if thread is not None and thread.address == thread_id:
                await case.ports.index.anchor(case.hold.key, replace(thread, anchor=anchor))
            yield step
        yield self.done(step, await case.ports.provider.erase_thread(thread_id, anchor))


class Responses(Place):
    """Responses that the provider stores."""

    store = Store.PROVIDER
    kind = "response "
    at_once = 50  # to note each of thousands would take minutes

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self._foreign: list[str] = []

    async def find(self) -> None:
        """See `Place.find`."""
        case = self.case
        for response_id in filter(case.ports.provider.keeps, sorted(case.told - case.responses.keys())):
            try:
                conversation = await case.ports.provider.conversation_of(response_id)
            except (ThreadGone, BadRequest):  # what the variable names is not there, whoever wrote it
                continue
            except Exception as exc:  # noqa: BLE001 - by its own name it would be one to erase, whosever it is
                case.failed.append(Step(self.store, LOOK, why=f"{self.kind}{response_id}: {why(exc)}"))
                continue
            # Variables may name anybody's responses: only one from a conversation of the subject's goes.
            if conversation in case.threads:
                case.responses[response_id] = conversation
            else:
                self._foreign.append(response_id)

    def steps(self) -> list[Step]:
        """See `Place.steps`."""
        anchors = {name: self.case.anchors.get(given_on or "") for name, given_on in self.case.responses.items()}
        own = [
            Step(self.store, self.kind + name, anchor=anchors[name])
            for name in sorted(anchors)
            if self.case.ports.provider.keeps(self.case.responses[name] or name)
        ]
        return own + [Step(self.store, self.kind + name, status=Status.STAYS, why=FOREIGN) for name in self._foreign]

    async def erase(self, step: Step) -> AsyncIterator[Step]:
        """See `Place.erase`."""
        yield self.done(step, await self.case.ports.provider.erase_response(self.name(step), step.anchor))


class Messages(Place):
    """Sessions of the transcript with their messages, which name conversations and responses, and feedback on those."""

    store = Store.TRANSCRIPT
    kind = "sessions"  # "sessions and messages" in orders of older workers
    what = "sessions, messages and feedback"

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self._found = False

    async def find(self) -> None:
        """See `Place.find`."""
        case, subject, conversations = self.case, self.case.subject, self.case.ports.conversations
        if conversations is None:
            return
        free = None if subject.person is None else True
        wanted = Filter(subject.engine, subject.instance, subject.business_key, free=free)
        async for session in sessions(conversations, wanted, subject.limits):
            if free and not subject.has(session.key):
                continue
            self._found = True
            # What several instances share is not this one's to erase: only its own messages go.
            if subject.instance in (None, session.process_instance_id):
                case.kept.setdefault(session.key, Kept(session.key))
                case.instances.update(filter(None, [session.process_instance_id]))
                await self.find_thread(session.key)
            else:
                stored = await conversations.stored(MessageFilter(session_id(session.key)), within=EVERYTHING)
                case.shared |= dict.fromkeys(stored.threads, session.key)
        if subject.instance is not None:  # what it said in conversations of others
            said = MessageFilter(instance=subject.instance, engine=subject.engine)
            case.note(await conversations.stored(said, within=subject.limits))

    async def find_thread(self, key: ThreadKey) -> None:
        """Look for what the messages of one thread name. Raises TranscriptDown."""
        if self.case.ports.conversations is not None:
            wanted = MessageFilter(session_id(key))
            stored = await self.case.ports.conversations.stored(wanted, within=EVERYTHING)
            self.case.threads |= dict.fromkeys(stored.threads, key)
            self.case.note(stored)

    def steps(self) -> list[Step]:
        """See `Place.steps`."""
        return [Step(self.store, self.what)] if self._found else []

    async def erase(self, step: Step) -> AsyncIterator[Step]:
        """See `Place.erase`."""
        if self.case.ports.transcript is not None:
            removed = await self.case.ports.transcript.remove(_subjects(self.case))
            step = self.done(step, removed.messages + removed.feedback)
            yield step.kept(held_messages(removed.held)) if removed.held else step


class Keys(Place):
    """What Redis keeps under the keys of threads: the map, which names the conversation, and the turns."""

    store = Store.REDIS
    waits = True

    async def find(self) -> None:
        """See `Place.find`."""
        case, index = self.case, self.case.ports.index
        late = set(case.late)
        for kept in await index.threads():
            if self._is_ours(kept):
                case.take(kept, await index.turns(kept))
                late.discard(kept.key)
        if late:
            # The thread stays, and its turn: what was said there goes once the transcript has it.
            reason = LATE_AND_OFF if case.ports.transcript is None else LATE
            case.failed.append(Step(Store.TRANSCRIPT, LOOK, why=reason))

    def _is_ours(self, kept: Kept) -> bool:
        """Whether a key is this subject's, or the transcript knows that it is."""
        case, whose = self.case, kept.owner
        instance = whose.instance if whose and kept.key.scope.startswith(TASK_SCOPE) else None
        known = kept.key in case.kept or instance in case.instances
        return is_of(case.subject, kept.key, case.instances) or (known and may_be_of(case.subject, kept.key))

    def steps(self) -> list[Step]:
        """See `Place.steps`."""
        return [Step(self.store, _of_thread(key), key) for key in self.case.kept]

    async def erase(self, step: Step) -> AsyncIterator[Step]:
        """See `Place.erase`."""
        case = self.case
        kept = case.kept[case.hold.key]
        yield self.done(step, await case.ports.index.forget(case.hold, kept, unrecorded=case.unrecorded))


class Variables(Place):
    """Process variables that we wrote. Anybody may write such ones, so that they name nothing but guesses."""

    store = Store.ENGINE
    kind = "variables of "
    waits = True

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self._traces: dict[str, list[Trace]] = {}

    async def find(self) -> None:
        """See `Place.find`."""
        for instance in sorted(self.case.instances):
            await self.case.trying(self.store, self._read(instance))

    async def _read(self, instance: str) -> None:
        case = self.case
        self._traces[instance] = await case.ports.instances.traces(instance, results=case.results)
        for trace in self._traces[instance]:
            thread = read_thread_variable(Variable(trace.value)) if trace.name.startswith(THREAD_VARIABLE) else None
            case.guesses.update([thread.address] if thread else [])
            told = meta.read(trace.name, trace.value)
            if told is not None:
                case.guesses.update(address(told.provider, name) for name in [told.thread] if _is_id(name))
                case.told.update(address(told.provider, name) for name in [told.response] if _is_id(name))

    def steps(self) -> list[Step]:
        """See `Place.steps`."""
        return [Step(self.store, self.kind + instance) for instance, traces in self._traces.items() if traces]

    async def erase(self, step: Step) -> AsyncIterator[Step]:
        """See `Place.erase`."""
        instance = self.name(step)
        if instance not in self._traces:  # they could not be read, and may name what nobody has looked for
            return
        for trace in self._traces[instance]:
            await self.case.ports.instances.wipe(trace)
            step = self.done(step, 1)
            yield step
        yield self.done(step, 0)


class _Counted(Place):
    """What is only counted before it is removed. `what` is the one step's name."""

    what: str

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self._count = 0

    @property
    @abstractmethod
    def eraser(self) -> Counted | None:
        """What counts and removes it; None where there is none of it."""

    async def find(self) -> None:
        """See `Place.find`."""
        if self.eraser is not None:
            self._count = await self.eraser.count(_subjects(self.case))

    def steps(self) -> list[Step]:
        """See `Place.steps`."""
        return [Step(self.store, self.what)] if self._count else []


class _Whole(_Counted):
    """Something that no hold keeps anything of."""

    @property
    @abstractmethod
    def eraser(self) -> Counting | None:
        """See `_Counted.eraser`."""

    async def erase(self, step: Step) -> AsyncIterator[Step]:
        """See `Place.erase`."""
        if self.eraser is not None:
            yield self.done(step, await self.eraser.remove(_subjects(self.case)))


class Asks(_Whole):
    """What persons asked, answered or not: it would go with the sessions, and is counted here before."""

    store = Store.ASKS
    kind = what = "asks"

    @property
    def eraser(self) -> Counting | None:
        """See `_Counted.eraser`."""
        return self.case.ports.asks


class Records(_Counted):
    """What was said in records of decisions. What was computed stays there, with hashes in place of the texts."""

    store = Store.TRANSCRIPT
    kind = "decisions"
    what = "decisions' texts"

    @property
    def eraser(self) -> DecisionEraser | None:
        """See `_Counted.eraser`."""
        return self.case.ports.decisions

    async def erase(self, step: Step) -> AsyncIterator[Step]:
        """See `Place.erase`."""
        if self.eraser is not None:
            removed = await self.eraser.remove(_subjects(self.case))
            step = self.done(step, removed.count)
            yield step.kept(held_records(removed.held)) if removed.held else step


class Visits(_Whole):
    """Who was at a subject's sessions, and where a person was: they would go with sessions, and are counted before."""

    store = Store.TRANSCRIPT
    kind = what = "visits"

    @property
    def eraser(self) -> Counting | None:
        """See `_Counted.eraser`."""
        return self.case.ports.visits


class Words(Place):
    """What a person said in conversations of processes. Those stay, and know it until their process ends."""

    store = Store.TRANSCRIPT
    kind = "words"
    what = "words and feedback in conversations of processes"

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self._said = False
        self._threads: Sequence[ThreadKey] = ()

    async def find(self) -> None:
        """See `Place.find`."""
        case = self.case
        if case.ports.asks is not None and case.subject.person is not None and case.subject.chat is None:
            self._said, self._threads = True, await case.ports.asks.spoken_on(case.subject)

    def steps(self) -> list[Step]:
        """See `Place.steps`."""
        stay = [Step(Store.PROVIDER, _of_thread(key), status=Status.STAYS, why=OF_PROCESS) for key in self._threads]
        return [*stay, Step(self.store, self.what)] if self._said else []

    async def erase(self, step: Step) -> AsyncIterator[Step]:
        """See `Place.erase`."""
        if self.case.ports.asks is not None:
            gone, left, held = await self.case.ports.asks.unsay(self.case.subject)
            step = replace(step, count=step.count + gone)
            yield step
            if left:
                raise ThreadLocked(f"{left} asks are being answered, or their answers are not recorded yet")
            yield step.kept(held_messages(held)) if held else self.done(step, 0)


class Facts(Place):
    """What was remembered beyond the instances, or is to be; or all of one subject of the memory."""

    store = Store.MEMORY
    kind = what = "facts of "

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self._found: dict[str, tuple[MemorySubject, str | None]] = {}

    async def find(self) -> None:
        """See `Place.find`."""
        book, case = self.case.ports.facts, self.case
        if book is None:
            return
        if case.subject.memory is not None:
            await self._find_subject(book, case.subject.memory)
            return
        for subject, instance in await book.of_instances(case.instances) if case.instances else ():
            self._found[f"{_named(subject)} from {instance}"] = (subject, instance)

    async def _find_subject(self, book: FactBook, digest: str) -> None:
        before = [step for step in self.case.before if self.has(step)]
        if any(step.status is Status.OPEN for step in before):
            return  # what has come since is of another generation
        known = await book.subject(digest, self.case.subject.limits)
        # Also if nothing is remembered now: a turn may be under way, whose answer is not to be remembered any more. One
        # whose first turn is has to be known before (`FactBook.know`), by whoever says what the process calls it.
        if known is not None:
            subject = MemorySubject(known.digest, known.tenant, known.generation)
            self._found[_named(subject)] = (subject, None)

    def steps(self) -> list[Step]:
        """See `Place.steps`."""
        return [Step(self.store, self.kind + name) for name in self._found]

    async def erase(self, step: Step) -> AsyncIterator[Step]:
        """See `Place.erase`. First what we keep: what is on its way to the memory does not come there then."""
        book, memory = self.case.ports.facts, self.case.ports.memory
        named = _read(self.name(step))
        if book is None or named is None:
            return
        subject, instance = named
        tenant = next((each.tenant for each, _ in self._found.values() if each.digest == subject.digest), None)
        subject = replace(subject, tenant=tenant)
        # Who has begun and died may have dropped ours, of which nothing is left to be counted; so may one who met a
        # memory that was away. What was looked at once since then is not looked at for that again.
        dropped = step.why not in {"", STILL, ON_ITS_WAY}
        step = replace(step, why=step.why or BEGUN)
        yield step
        gone = await (book.drop(subject) if instance is None else book.drop_instance(subject, instance))
        step = replace(step, count=step.count + gone)
        # Noted before the memory is asked: it may be away, and our own are gone.
        yield step
        done = Forgotten(0)
        if memory is not None:
            done = await (memory.forget(subject) if instance is None else memory.forget_instance(subject, instance))
        if done.open:
            yield replace(step, count=step.count + done.removed).kept(STILL)
        elif (gone or dropped) and memory is not None and memory.name != EMBEDDED:
            # A worker may be about to give the memory what has just gone from our own store.
            yield replace(step, count=step.count + done.removed).kept(ON_ITS_WAY)
        elif done.stays:
            yield replace(step, status=Status.STAYS, count=step.count + done.removed, why=done.stays)
        else:
            yield self.done(step, done.removed)


BEGUN = "it has begun; it is looked at again"
STILL = "the memory is still at it; it is looked at again"
ON_ITS_WAY = "something may be on its way to the memory; it is looked at again"


def _of_thread(key: ThreadKey) -> str:
    """Name a thread as no other of the order: tenants may have the same business key."""
    return f"{key.scope} {key.assistant}" + ("" if key.tenant is None else f" of tenant {key.tenant}")


def _named(subject: MemorySubject) -> str:
    return f"{subject.digest}, generation {subject.generation}"


def _read(name: str) -> tuple[MemorySubject, str | None] | None:
    """Read of whom a step is, also one that an earlier run has noted: what it names may be gone from our own store."""
    whose, _, instance = name.partition(" from ")
    digest, _, generation = whose.partition(", generation ")
    return (MemorySubject(digest, None, int(generation)), instance or None) if generation.isdecimal() else None


def held_records(names: Sequence[str]) -> str:
    """Say what keeps the texts of records."""
    one = len(names) == 1
    what = f"decision {names[0]} is" if one else f"decisions {', '.join(names)} are"
    return f"{HELD}{what} on legal hold; once `decisions release` has lifted {'it' if one else 'each'}, this is erased"


def held_messages(count: int) -> str:
    """Say what keeps messages."""
    what = "a message is" if count == 1 else f"{count} messages are"
    return f"{HELD}{what} cited by decisions on legal hold (`decisions list` shows which); released, this is erased"


def _subjects(case: Case) -> list[Subject]:
    """Whose it is: the subject's own, and that of each instance that it had."""
    whose = case.subject
    own = [Subject(whose.engine, instance=name, tenants=whose.tenants) for name in sorted(case.instances)]
    return [whose, *(each for each in own if each != whose)]


NAMED: tuple[type[Place], ...] = (Conversations, Responses, Asks, Visits, Words, Records, Facts)
NAMING: tuple[type[Place], ...] = (Messages, Keys, Variables)
"""What names things of other stores is looked into before those, and erased after them."""


def places(case: Case) -> list[Place]:
    """All stores, in the order in which it is safe to erase."""
    # What is forgotten of a subject has no conversations: nothing else is looked into for it.
    found = (Facts,) if case.subject.memory is not None else (*NAMED, *NAMING)
    return [place(case) for place in found]


async def search(case: Case) -> list[Place]:
    """Look everywhere; returns the stores as `places` does. Raises StoreDown: without Redis nothing is begun."""
    if case.subject.instance is not None:
        case.instances.add(case.subject.instance)
        case.late = await _late(case.ports.index, case.subject, case.subject.instance)
    elif case.subject.business_key is not None:
        await case.trying(Store.ENGINE, case.find_instances())
    found = places(case)
    for place in sorted(found, key=lambda place: isinstance(place, NAMED)):
        if place.store is Store.REDIS:
            await place.find()
        else:
            await case.trying(place.store, place.find())
    return found


async def _late(index: ThreadIndex, subject: Subject, instance: str) -> frozenset[ThreadKey]:
    """Find threads that instances share, on which this one has said what the transcript has yet to get.

    To be asked before the transcript: what comes there in between is then in both, not in neither. Raises StoreDown.
    """
    waiting, late = await index.waiting(), set[ThreadKey]()
    if waiting == Unrecorded():
        return frozenset()
    for kept in await index.threads():
        key = kept.key
        is_meant = key.scope.startswith(SHARED_SCOPE) and may_be_of(subject, key) and waiting.may_have(key)
        if is_meant and any(turn.is_on_its_way(instance) for turn in await index.turns(kept)):
            late.add(key)
    return frozenset(late)


def _is_id(value: object) -> TypeGuard[str]:
    """Whether it can be an id of the provider's: a variable may hold anything."""
    # Dots alone would lead to another address.
    return isinstance(value, str) and 0 < len(value) <= LONGEST_ID and value.isprintable() and value.strip(".") != ""
