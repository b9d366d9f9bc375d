"""Finds everything that there is of an instance or a business key, in every store."""

from collections.abc import Awaitable
from dataclasses import dataclass, field

from worker.conversations import Conversations, Filter, MessageFilter, Session, Subject
from worker.domain import THREAD_VARIABLE, ThreadKey, Variable
from worker.ending.outside import Outside, key_of, messages, owns, sessions
from worker.erasure import SHARED, SINGLE, Kept, Status, Step, Store, Trace, scopes_of
from worker.errors import ThreadGone, WorkerError
from worker.result import read_thread_variable

CONVERSATION = "conversation "
RESPONSE = "response "
MESSAGES = "sessions and messages"
LOOK = "what there is"


@dataclass(slots=True)
class Found:
    """What there is. `failed` are places that could not be looked into, each with the reason."""

    subject: Subject
    instances: set[str] = field(default_factory=set)
    kept: dict[ThreadKey, Kept] = field(default_factory=dict)
    threads: dict[str, ThreadKey] = field(default_factory=dict)
    guesses: set[str] = field(default_factory=set)
    shared: dict[str, ThreadKey] = field(default_factory=dict)
    responses: set[str] = field(default_factory=set)
    recorded: bool = False
    traces: dict[str, list[Trace]] = field(default_factory=dict)
    failed: list[Step] = field(default_factory=list)

    def steps(self) -> list[Step]:
        """Say what is to be done, in the order in which it is safe: what knows of others goes last."""
        stays = "other instances share this conversation"
        return [
            *(Step(Store.PROVIDER, CONVERSATION + name, key) for name, key in self.threads.items()),
            *(
                Step(Store.PROVIDER, CONVERSATION + name, key, Status.STAYS, why=stays)
                for name, key in self.shared.items()
            ),
            *(Step(Store.PROVIDER, RESPONSE + name) for name in sorted(self.responses)),
            *(Step(Store.REDIS, f"{key.scope} {key.assistant}", key) for key in self.kept),
            *([Step(Store.TRANSCRIPT, MESSAGES)] if self.recorded else []),
            *(Step(Store.ENGINE, f"variables of {name}") for name, traces in self.traces.items() if traces),
            *self.failed,
        ]


class Search:
    """Looks for one subject."""

    def __init__(self, outside: Outside, subject: Subject) -> None:
        self._outside = outside
        self._found = Found(subject)

    async def __call__(self) -> Found:
        """Look everywhere. Raises StoreDown: without Redis nothing is begun."""
        found = self._found
        if found.subject.instance is not None:
            found.instances.add(found.subject.instance)
        else:
            await self._trying(Store.ENGINE, self._find_instances())
        if self._outside.conversations is not None:
            await self._trying(Store.TRANSCRIPT, self._read_transcript(self._outside.conversations))
        for kept in await self._outside.census.threads():
            self._take_kept(kept)
        for instance in sorted(found.instances):
            await self._trying(Store.ENGINE, self._read_variables(instance))
        for thread_id in sorted(found.guesses - found.threads.keys() - found.shared.keys()):
            await self._check(thread_id)
        return found

    async def _trying(self, store: Store, looking: Awaitable[None]) -> None:
        try:
            await looking
        except WorkerError as exc:
            self._found.failed.append(Step(store, LOOK, why=str(exc)))

    async def _find_instances(self) -> None:
        self._found.instances.update(await self._outside.instances.ran_with(str(self._found.subject.business_key)))

    async def _read_transcript(self, conversations: Conversations) -> None:
        found, subject = self._found, self._found.subject
        wanted = Filter(engine=subject.engine, instance=subject.instance, business_key=subject.business_key)
        async for session in sessions(conversations, wanted):
            found.recorded = True
            if owns(subject, session):
                await self._read_session(conversations, session)
            elif session.thread_id:
                found.shared[session.thread_id] = key_of(session)
        if subject.instance is not None:  # what it said in conversations of others
            async for message in messages(conversations, MessageFilter(instance=subject.instance)):
                found.responses.update(filter(None, [message.response_id]))

    async def _read_session(self, conversations: Conversations, session: Session) -> None:
        found, key = self._found, key_of(session)
        found.kept.setdefault(key, Kept(key))
        found.instances.update(filter(None, [session.process_instance_id]))
        found.threads |= {name: key for name in [session.thread_id] if name}
        async for message in messages(conversations, MessageFilter(session.id)):
            found.threads |= {name: key for name in [message.thread_id] if name}
            found.responses.update(filter(None, [message.response_id]))

    def _take_kept(self, kept: Kept) -> None:
        """Take what Redis has under keys that are this subject's, or that the transcript knows to be."""
        found, owner = self._found, kept.owner
        instance = owner.instance if owner and kept.key.scope.startswith(SINGLE) else None
        own = kept.key.scope in scopes_of(found.subject, sorted(found.instances))
        if own or kept.key in found.kept or instance in found.instances:
            found.kept[kept.key] = kept
            found.threads |= {thread.id: kept.key for thread in [kept.thread] if thread}

    async def _read_variables(self, instance: str) -> None:
        traces = await self._outside.instances.traces(instance)
        self._found.traces[instance] = traces
        for trace in traces:
            thread = read_thread_variable(Variable(trace.value)) if trace.name.startswith(THREAD_VARIABLE) else None
            self._found.guesses.update([thread.id] if thread else [])

    async def _check(self, thread_id: str) -> None:
        """Take a thread that a variable names if its metadata say that it is ours: a call activity copies variables."""
        found = self._found
        try:
            owner = await self._outside.provider.metadata(thread_id)
        except ThreadGone:
            return
        except WorkerError as exc:
            found.failed.append(Step(Store.PROVIDER, CONVERSATION + thread_id, why=str(exc)))
            return
        scope, assistant = owner.get("scope", ""), owner.get("assistant", "")
        if owner.get("engine") != found.subject.engine or not assistant:
            return
        key = ThreadKey(found.subject.engine, scope, assistant, owner.get("tenant") or None)
        if scope in scopes_of(found.subject, sorted(found.instances)):
            found.threads[thread_id] = key
            found.kept.setdefault(key, Kept(key))
        elif scope.startswith(SHARED):
            found.shared[thread_id] = key
