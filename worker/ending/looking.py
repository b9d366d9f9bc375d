"""Finds everything that there is of an instance or a business key, in every store."""

from collections.abc import Awaitable
from dataclasses import dataclass, field

from worker import meta
from worker.conversations import EVERYTHING, Conversations, Filter, MessageFilter, Session, Subject
from worker.domain import SHARED_SCOPE, TASK_SCOPE, THREAD_VARIABLE, ThreadKey, Variable
from worker.ending.outside import Outside, sessions, why
from worker.erasure import Kept, Status, Step, Store, Trace, is_of
from worker.errors import ThreadGone
from worker.result import read_thread_variable

CONVERSATION = "conversation "
RESPONSE = "response "
MESSAGES = "sessions and messages"
LOOK = "what there is"


@dataclass(slots=True)
class Found:
    """What there is. `failed` are places that could not be looked into, each with the reason.

    `guesses` are conversations that variables name, `told` the conversation of each response that they name.
    """

    subject: Subject
    instances: set[str] = field(default_factory=set)
    kept: dict[ThreadKey, Kept] = field(default_factory=dict)
    threads: dict[str, ThreadKey] = field(default_factory=dict)
    guesses: set[str] = field(default_factory=set)
    shared: dict[str, ThreadKey] = field(default_factory=dict)
    responses: set[str] = field(default_factory=set)
    told: dict[str, str] = field(default_factory=dict)
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

    def __init__(self, outside: Outside, subject: Subject, *, results: bool = False) -> None:
        self._outside = outside
        self._results = results
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
            if self._is_ours(kept):
                await self._take(kept)
        for instance in sorted(found.instances):
            await self._trying(Store.ENGINE, self._read_variables(instance))
        for thread_id in sorted(found.guesses - found.threads.keys() - found.shared.keys()):
            await self._check(thread_id)
        # A call activity copies variables: only the conversation tells whose response that is.
        found.responses |= {response for response, thread_id in found.told.items() if thread_id in found.threads}
        return found

    async def _trying(self, store: Store, looking: Awaitable[None]) -> None:
        try:
            await looking
        except Exception as exc:  # noqa: BLE001 - what is odd in one place keeps nothing in the others
            self._found.failed.append(Step(store, LOOK, why=why(exc)))

    async def _find_instances(self) -> None:
        subject = self._found.subject
        ran = await self._outside.instances.ran_with(str(subject.business_key), subject.tenants)
        self._found.instances.update(ran)

    async def _read_transcript(self, conversations: Conversations) -> None:
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
            found.responses |= (await conversations.stored(said, within=EVERYTHING)).responses

    async def _read_session(self, conversations: Conversations, session: Session) -> None:
        found, key = self._found, session.key
        found.kept.setdefault(key, Kept(key))
        found.instances.update(filter(None, [session.process_instance_id]))
        stored = await conversations.stored(MessageFilter(session.id), within=EVERYTHING)
        found.threads |= dict.fromkeys(stored.threads, key) | {name: key for name in [session.thread_id] if name}
        found.responses |= stored.responses

    def _is_ours(self, kept: Kept) -> bool:
        """Whether a key is this subject's, or the transcript knows that it is."""
        found, whose = self._found, kept.owner
        instance = whose.instance if whose and kept.key.scope.startswith(TASK_SCOPE) else None
        own = is_of(found.subject, kept.key, found.instances)
        return own or kept.key in found.kept or instance in found.instances

    async def _take(self, kept: Kept) -> None:
        """Take what Redis has under a key."""
        found = self._found
        found.kept[kept.key] = kept
        found.threads |= dict.fromkeys(kept.conversations, kept.key)
        turns = [turn for turn in await self._outside.census.turns(kept) if not turn.newer]
        found.responses.update(turn.response_id for turn in turns if turn.response_id)

    async def _read_variables(self, instance: str) -> None:
        traces = await self._outside.instances.traces(instance, results=self._results)
        self._found.traces[instance] = traces
        for trace in traces:
            thread = read_thread_variable(Variable(trace.value)) if trace.name.startswith(THREAD_VARIABLE) else None
            self._found.guesses.update([thread.id] if thread else [])
            told = meta.read(trace.name, trace.value)
            if told and told.response and told.thread:
                self._found.told[told.response] = told.thread
                self._found.guesses.add(told.thread)

    async def _check(self, thread_id: str) -> None:
        """Take a thread that a variable names if its metadata say that it is ours: a call activity copies variables."""
        found = self._found
        try:
            facts = await self._outside.provider.metadata(thread_id)
        except ThreadGone:
            return
        except Exception as exc:  # noqa: BLE001 - as above
            found.failed.append(Step(Store.PROVIDER, CONVERSATION + thread_id, why=why(exc)))
            return
        scope, assistant = facts.get("scope", ""), facts.get("assistant", "")
        if facts.get("engine") != found.subject.engine or not assistant:
            return
        key = ThreadKey(found.subject.engine, scope, assistant, facts.get("tenant") or None)
        if is_of(found.subject, key, found.instances):
            found.threads[thread_id] = key
            found.kept.setdefault(key, Kept(key))
        elif scope.startswith(SHARED_SCOPE):
            found.shared[thread_id] = key
