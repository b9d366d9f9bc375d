"""Finds everything that there is of an instance or a business key, in every store."""

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TypeGuard

from worker.domain import meta
from worker.domain.conversations import EVERYTHING, Filter, MessageFilter, Session, Stored, Subject
from worker.domain.endings import Kept, Status, Step, Store, Trace, is_of, may_be_of
from worker.domain.tasks import THREAD_VARIABLE, Variable
from worker.domain.threads import SHARED_SCOPE, TASK_SCOPE, ThreadKey
from worker.ending.stores import EndingPorts, sessions, why
from worker.errors import BadRequest, ThreadGone, ThreadUnseen
from worker.modelling.result import read_thread_variable
from worker.ports.transcript import TranscriptReader

CONVERSATION = "conversation "
RESPONSE = "response "
MESSAGES = "sessions and messages"
LOOK = "what there is"
LONGEST_ID = 500
SHARED = "other instances share this conversation"
FOREIGN = "only a process variable names it, and the provider says that it belongs elsewhere"


@dataclass(slots=True)
class Found:
    """What there is. `failed` are places that could not be looked into, each with the reason.

    `anchors` are those of conversations, `responses` each response's conversation, as far as they are known.
    `guesses` are conversations that variables name, `told` responses that they name. Variables can be copied or forged:
    what only they name, and the provider does not say to be the subject's, is `foreign` and stays.
    """

    subject: Subject
    instances: set[str] = field(default_factory=set)
    kept: dict[ThreadKey, Kept] = field(default_factory=dict)
    threads: dict[str, ThreadKey] = field(default_factory=dict)
    anchors: dict[str, str | None] = field(default_factory=dict)
    guesses: set[str] = field(default_factory=set)
    shared: dict[str, ThreadKey] = field(default_factory=dict)
    responses: dict[str, str | None] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    foreign: set[str] = field(default_factory=set)
    recorded: bool = False
    traces: dict[str, list[Trace]] = field(default_factory=dict)
    failed: list[Step] = field(default_factory=list)

    def steps(self) -> list[Step]:
        """Say what is to be done, in the order in which it is safe: what knows of others goes last."""
        return [
            *(
                Step(Store.PROVIDER, CONVERSATION + name, key, anchor=self.anchors.get(name))
                for name, key in self.threads.items()
            ),
            *(
                Step(Store.PROVIDER, CONVERSATION + name, key, Status.STAYS, why=SHARED)
                for name, key in self.shared.items()
            ),
            *(
                Step(Store.PROVIDER, RESPONSE + name, anchor=self.anchors.get(self.responses[name] or ""))
                for name in sorted(self.responses)
            ),
            *(Step(Store.PROVIDER, name, status=Status.STAYS, why=FOREIGN) for name in sorted(self.foreign)),
            *(Step(Store.REDIS, f"{key.scope} {key.assistant}", key) for key in self.kept),
            *([Step(Store.TRANSCRIPT, MESSAGES)] if self.recorded else []),
            *(Step(Store.ENGINE, f"variables of {name}") for name, traces in self.traces.items() if traces),
            *self.failed,
        ]


class Search:
    """Looks for one subject."""

    def __init__(self, ports: EndingPorts, subject: Subject, *, results: bool = False, absent: bool = False) -> None:
        self._ports = ports
        self._absent = absent
        self._results = results
        self._found = Found(subject)

    async def look(self) -> Found:
        """Look everywhere. Raises StoreDown: without Redis nothing is begun."""
        found = self._found
        if found.subject.instance is not None:
            found.instances.add(found.subject.instance)
        else:
            await self._trying(Store.ENGINE, self._find_instances())
        if self._ports.conversations is not None:
            await self._trying(Store.TRANSCRIPT, self._read_transcript(self._ports.conversations))
        for kept in await self._ports.index.threads():
            if self._is_ours(kept):
                await self._take(kept)
        for instance in sorted(found.instances):
            await self._trying(Store.ENGINE, self._read_variables(instance))
        for thread_id in sorted(found.guesses - found.threads.keys() - found.shared.keys()):
            await self._check(thread_id)
        for response_id in sorted(found.told - found.responses.keys()):
            await self._check_response(response_id)
        return found

    async def _trying(self, store: Store, looking: Awaitable[None]) -> None:
        try:
            await looking
        except Exception as exc:  # noqa: BLE001 - what is odd in one place keeps nothing in the others
            self._found.failed.append(Step(store, LOOK, why=why(exc)))

    async def _find_instances(self) -> None:
        subject = self._found.subject
        ran = await self._ports.instances.ran_with(str(subject.business_key), subject.tenants)
        self._found.instances.update(ran)

    async def _read_transcript(self, conversations: TranscriptReader) -> None:
        found, subject = self._found, self._found.subject
        wanted = Filter(engine=subject.engine, instance=subject.instance, business_key=subject.business_key)
        async for session in sessions(conversations, wanted, subject.limits):
            found.recorded = True
            if subject.instance in (None, session.process_instance_id):
                await self._read_session(conversations, session)
            elif session.thread_id:
                found.shared[session.thread_id] = session.key
        if subject.instance is not None:  # what it said in conversations of others
            said = MessageFilter(instance=subject.instance, engine=subject.engine)
            self._note(await conversations.stored(said, within=subject.limits))

    async def _read_session(self, conversations: TranscriptReader, session: Session) -> None:
        found, key = self._found, session.key
        found.kept.setdefault(key, Kept(key))
        found.instances.update(filter(None, [session.process_instance_id]))
        stored = await conversations.stored(MessageFilter(session.id), within=EVERYTHING)
        found.threads |= dict.fromkeys(stored.threads, key) | {name: key for name in [session.thread_id] if name}
        self._note(stored)

    def _note(self, stored: Stored) -> None:
        self._found.anchors |= stored.threads
        self._found.responses |= stored.responses

    def _is_ours(self, kept: Kept) -> bool:
        """Whether a key is this subject's, or the transcript knows that it is."""
        found, whose = self._found, kept.owner
        instance = whose.instance if whose and kept.key.scope.startswith(TASK_SCOPE) else None
        own = is_of(found.subject, kept.key, found.instances)
        known = kept.key in found.kept or instance in found.instances
        return own or (known and may_be_of(found.subject, kept.key))

    async def _take(self, kept: Kept) -> None:
        """Take what Redis has under a key."""
        found = self._found
        found.kept[kept.key] = kept
        found.threads |= dict.fromkeys(kept.conversations, kept.key)
        thread = kept.thread
        if thread is not None:
            found.anchors[thread.id] = thread.anchor or found.anchors.get(thread.id)
        for turn in await self._ports.index.turns(kept):
            if turn.response_id and not turn.newer:
                found.responses[turn.response_id] = thread.id if thread else None

    async def _read_variables(self, instance: str) -> None:
        traces = await self._ports.instances.traces(instance, results=self._results)
        self._found.traces[instance] = traces
        for trace in traces:
            thread = read_thread_variable(Variable(trace.value)) if trace.name.startswith(THREAD_VARIABLE) else None
            self._found.guesses.update([thread.id] if thread else [])
            told = meta.read(trace.name, trace.value)
            if told and _is_id(told.thread):
                self._found.guesses.add(told.thread)
            if told and _is_id(told.response):
                self._found.told.add(told.response)

    async def _check(self, thread_id: str) -> None:
        """Take a thread that a variable names if its metadata say that it is ours: a call activity copies variables."""
        found = self._found
        try:
            facts = await self._ports.provider.metadata(thread_id, found.anchors.get(thread_id))
        except ThreadGone:
            return
        except Exception as exc:  # noqa: BLE001 - as above
            step = Step(Store.PROVIDER, CONVERSATION + thread_id, why=why(exc))
            accepted = isinstance(exc, ThreadUnseen) and self._absent
            found.failed.append(step.accepted(self._ports.now()) if accepted else step)
            return
        scope, assistant = facts.get("scope", ""), facts.get("assistant", "")
        key = ThreadKey(facts.get("engine", ""), scope, assistant, facts.get("tenant") or None)
        if assistant and is_of(found.subject, key, found.instances):
            found.threads[thread_id] = key
            found.kept.setdefault(key, Kept(key))
        elif key.engine == found.subject.engine and assistant and scope.startswith(SHARED_SCOPE):
            found.shared[thread_id] = key
        else:
            found.foreign.add(CONVERSATION + thread_id)

    async def _check_response(self, response_id: str) -> None:
        """Take a response that a variable names if it was given on a conversation that is ours."""
        found = self._found
        try:
            conversation = await self._ports.provider.conversation_of(response_id)
        except (ThreadGone, BadRequest):  # what the variable names is not there, whoever wrote it
            return
        except Exception as exc:  # noqa: BLE001 - as above; by its own name it would be one to erase, whosever it is
            found.failed.append(Step(Store.PROVIDER, LOOK, why=f"{RESPONSE}{response_id}: {why(exc)}"))
            return
        if conversation in found.threads:
            found.responses[response_id] = conversation
        else:
            found.foreign.add(RESPONSE + response_id)


def _is_id(value: object) -> TypeGuard[str]:
    """Whether it can be an id of the provider's: a variable may hold anything."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_ID
