"""Ends conversations when their process is over and their time has come. Whatever runs is never touched."""

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

import structlog

from worker.domain.conversations import EVERYTHING, Filter, MessageFilter, Session, Stored, Subject, owner, session_id
from worker.domain.endings import Kept, TurnKept
from worker.domain.threads import Thread, ThreadKey
from worker.ending.ports import EndingPorts, cancel_runs, holding, runs, sessions, why
from worker.errors import EngineDown, ProviderAway, ProviderPaused, ThreadUnseen, Transient, WorkerError
from worker.runtime.portions import portions
from worker.telemetry import metrics
from worker.telemetry.logs import Event

MISSING_FOR = timedelta(days=1)
"""An instance that is in no history may be one that we may not see, or the engine was mixed up: time to notice that."""
AT_ONCE = 100
MESSAGES_AT_ONCE = 2000
"""Sessions and messages that end in one step: a database gives a step half a minute."""

Kind = Literal["keep", "anonymise", "remove"]
Active = Mapping[Subject, Sequence[ThreadKey]]
Ends = Mapping[Subject, datetime]
Due = tuple[Subject, Kept]

log = structlog.get_logger()


class NotYet(Transient):
    """The time has come, and yet it must not be done now."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How long what is kept after the end of a process; None keeps it for ever."""

    threads: timedelta | None
    transcript: timedelta | None
    kind: Kind


@dataclass(slots=True)
class Round:
    """What one round did, or would do. `records` says how many sessions of whom; `delayed` what keeps whom.

    `absent` as for `Retention.sweep`. `unseen` counts threads that the key cannot see.
    """

    ended: Ends = field(default_factory=dict)
    threads: list[tuple[ThreadKey, str]] = field(default_factory=list)
    records: dict[Subject, int] = field(default_factory=dict)
    delayed: list[tuple[Subject, str]] = field(default_factory=list)
    absent: bool = False
    unseen: int = 0

    def summary(self) -> dict[str, list[dict[str, str | None]]]:
        """The same for programs."""

        def whose(subject: Subject) -> dict[str, str | None]:
            return {"instance": subject.instance, "business_key": subject.business_key}

        return {
            "ended": [whose(each) | {"ended_at": at.isoformat()} for each, at in self.ended.items()],
            "threads": [
                {"scope": key.scope, "assistant": key.assistant, "tenant": key.tenant, "thread": name}
                for key, name in self.threads
            ],
            "records": [whose(each) for each in self.records],
            "delayed": [whose(each) | {"why": why} for each, why in self.delayed],
        }

    def delay(self, subject: Subject, reason: Exception) -> None:
        """Note that it could not be done."""
        said = why(reason)
        self.delayed.append((subject, said))
        self.unseen += (unseen := isinstance(reason, ThreadUnseen))
        if unseen and self.unseen > 1:
            return  # after a change of account these are many, and one line says all
        log.warning(Event.END_DELAYED, what=subject.instance or "a business key", reason=said)


@dataclass(frozen=True, slots=True)
class Old:
    """A session that has had its time, with how many messages. `words_only` go: somebody has to know its thread."""

    subject: Subject
    key: ThreadKey
    messages: int = 0
    words_only: bool = False


class Retention:
    """Looks who is over, and does what is due. Every step may be repeated; what knows of others goes last.

    Whose end is whose: the engine says. Since when: the transcript remembers, and without one the engine again. So
    nothing else needs to be remembered, and a changed policy holds for all that ended before.
    """

    def __init__(self, ports: EndingPorts, policy: Policy) -> None:
        self._ports = ports
        self._policy = policy

    async def close(self) -> Ends:
        """Note in the transcript what is over. Raises EngineDown, TranscriptDown."""
        active = await self._active()
        ended = await self._ended(active.keys())
        await self._end(active, ended)
        return ended

    async def sweep(self, *, dry_run: bool = False, absent: bool = False) -> Round:
        """Do one round; what cannot be done is delayed. Raises EngineDown, StoreDown, TranscriptDown.

        `absent`: a person says that threads that the key cannot see are gone.
        """
        kept = {each.key: each for each in await self._ports.index.threads()}
        active = await self._active()
        owners = {each.owner for each in kept.values() if each.owner} | active.keys()
        ended = await self._ended(owners, dry_run=dry_run, strict=True)
        done = Round(ended, absent=absent)
        if dry_run:
            unnoted = {subject: active[subject] for subject in active.keys() & ended.keys()}
        else:
            unnoted = {}
            await self._end(active, ended)
            await self._remember(kept.values())
        await self._end_threads(self._threads_due(kept, unnoted, ended), done, dry_run=dry_run)
        await self._end_records(self._records_due(unnoted, ended), kept, done, dry_run=dry_run)
        return done

    async def _active(self) -> dict[Subject, list[ThreadKey]]:
        """Whose conversations go on, as far as the transcript knows."""
        found = defaultdict[Subject, list[ThreadKey]](list)
        if self._ports.conversations is not None:
            wanted = Filter(engine=self._ports.engine_name, active=True)
            async for session in sessions(self._ports.conversations, wanted):
                found[_owner(session)].append(session.key)
        return found

    async def _ended(
        self, subjects: Collection[Subject], *, dry_run: bool = False, strict: bool = False
    ) -> dict[Subject, datetime]:
        """When those ended that have. The engine's word counts; `strict` watches for a day who is in no history."""
        instances = {each.instance: each for each in subjects if each.instance is not None}
        running = await self._ports.instances.running(instances.keys())
        known = await self._ports.instances.ended(instances.keys() - running)
        ended = {instances[name]: at for name, at in known.items() if name in instances and at is not None}
        missing = {each for name, each in instances.items() if name not in running and name not in known}
        for subject in {each for each in subjects if each.business_key is not None}:
            match await self._shared_end(subject):
                case datetime() as at:
                    ended[subject] = at
                case "unknown":
                    missing.add(subject)
        return ended | await self._long_missing(missing, dry_run=dry_run) if strict else ended

    async def _shared_end(self, subject: Subject) -> datetime | Literal["runs", "unknown"]:
        """When the last instance with this key ended."""
        if await runs(self._ports.instances, subject):
            return "runs"
        ends = (await self._ports.instances.ran_with(str(subject.business_key), subject.tenants)).values()
        known = [at for at in ends if at is not None]
        if len(known) < len(ends):
            return "runs"
        return max(known, default="unknown")

    async def _long_missing(self, missing: set[Subject], *, dry_run: bool) -> dict[Subject, datetime]:
        if missing:
            instances = sorted(each.instance for each in missing if each.instance)
            log.warning(Event.INSTANCES_MISSING, count=len(missing), instances=instances[:3])
        if not dry_run:
            await self._ports.orders.watch(missing, self._ports.now())
        known = await self._ports.orders.missing()
        until = self._ports.now() - MISSING_FOR
        return {subject: at for subject, at in known.items() if subject in missing and at <= until}

    async def _end(self, active: Active, ended: Ends) -> None:
        if self._ports.transcript is None:
            return
        for subject in active.keys() & ended.keys():
            for names in portions(map(session_id, active[subject]), AT_ONCE):
                await self._ports.transcript.end(names, ended[subject])

    async def _remember(self, kept: Iterable[Kept]) -> None:
        """Keep the maps of all that wait: a thread that is forgotten before its time would stay at the provider."""
        if self._policy.threads is not None:
            for each in kept:
                if each.owner and each.thread:
                    await self._ports.index.remember(each.key)

    async def _threads_due(self, kept: Mapping[ThreadKey, Kept], unnoted: Active, ended: Ends) -> AsyncIterator[Due]:
        """Threads whose time has come, by what Redis has and by what the transcript remembers."""
        if self._policy.threads is None:
            return
        until = self._ports.now() - self._policy.threads
        over = {subject for subject, at in ended.items() if at <= until}
        for each in kept.values():
            if each.owner in over and each.owner:
                yield each.owner, each
        async for old in self._past(until, unnoted, ended, Filter(thread_erased=False)):
            if old.key not in kept or kept[old.key].owner not in over:
                yield old.subject, kept.get(old.key, Kept(old.key))

    async def _records_due(self, unnoted: Active, ended: Ends) -> AsyncIterator[Old]:
        """Sessions whose record has had its time. Its words go then; the last to know a thread goes after that."""
        if self._policy.transcript is None or self._policy.kind == "keep":
            return
        until = self._ports.now() - self._policy.transcript
        words_first = self._policy.kind == "anonymise" or self._policy.threads is not None
        if self._policy.kind == "remove":
            async for old in self._past(until, unnoted, ended, Filter(thread_erased=True if words_first else None)):
                yield old
            unnoted = {}
        if words_first:
            left = Filter(anonymised=False, thread_erased=False if self._policy.kind == "remove" else None)
            async for old in self._past(until, unnoted, ended, left):
                yield replace(old, words_only=True)

    async def _past(self, until: datetime, unnoted: Active, ended: Ends, wanted: Filter) -> AsyncIterator[Old]:
        """Sessions that ended by then. What instances share is asked for again: another one may have run since."""
        for subject, keys in unnoted.items():
            if ended[subject] <= until:
                for key in keys:
                    yield Old(subject, key)
        if self._ports.conversations is None:
            return
        wanted = replace(wanted, engine=self._ports.engine_name, active=False, ended_until=until)
        async for session in sessions(self._ports.conversations, wanted):
            subject = _owner(session)
            if subject.business_key is None or await self._is_past(subject, until):
                yield Old(subject, session.key, session.messages)

    async def _is_past(self, subject: Subject, until: datetime) -> bool:
        end = await self._shared_end(subject)
        return end == "unknown" or (isinstance(end, datetime) and end <= until)

    async def _end_threads(self, due: AsyncIterator[Due], done: Round, *, dry_run: bool) -> None:
        """Erase threads at the provider and in Redis."""
        async for subject, kept in due:
            try:
                stored = await self._stored(kept.key)
                if not dry_run:
                    await self._end_thread(subject, kept, stored, absent=done.absent)
            except Exception as exc:  # noqa: BLE001 - what is odd about one thread keeps none of the others
                done.delay(subject, exc)
                if isinstance(exc, (ProviderAway, ProviderPaused, EngineDown)):
                    return  # it would be the same with all others
                continue
            done.threads += [(kept.key, thread_id) for thread_id in sorted(stored.threads.keys() | kept.conversations)]

    async def _stored(self, key: ThreadKey) -> Stored:
        if self._ports.conversations is None:
            return Stored()
        return await self._ports.conversations.stored(MessageFilter(session_id(key)), within=EVERYTHING)

    async def _end_thread(self, subject: Subject, kept: Kept, stored: Stored, *, absent: bool) -> None:
        async with holding(self._ports.index, kept.key) as hold:
            if await runs(self._ports.instances, subject):
                raise NotYet("an instance of it runs")
            kept = replace(kept, thread=await self._ports.index.thread(kept.key))
            turns = await cancel_runs(self._ports, kept)
            unseen = await self._erase(kept, stored, turns)
            if unseen and not absent:
                raise unseen[0]
            await self._ports.index.forget(hold, kept, unrecorded=False)
        if self._ports.transcript is not None:
            await self._ports.transcript.note_erased([session_id(kept.key)], self._ports.now())

    async def _erase(self, kept: Kept, stored: Stored, turns: Sequence[TurnKept]) -> list[ThreadUnseen]:
        """Erase a thread's conversations and responses; what the key cannot see holds up no other."""
        threads, responses, unseen = dict(stored.threads), dict(stored.responses), list[ThreadUnseen]()
        if kept.thread is not None:
            threads[kept.thread.id] = kept.thread.anchor or threads.get(kept.thread.id)
            responses |= {turn.response_id: kept.thread.id for turn in turns if turn.response_id}
        for thread_id, noted in threads.items():
            try:
                threads[thread_id] = await self._erase_thread(kept, thread_id, noted)
            except ThreadUnseen as exc:
                unseen.append(exc)
        for response_id, given_on in responses.items():
            try:
                await self._ports.provider.erase_response(response_id, threads.get(given_on or ""))
            except ThreadUnseen as exc:
                unseen.append(exc)
        return unseen

    async def _erase_thread(self, kept: Kept, thread_id: str, noted: str | None) -> str:
        """Erase one conversation; returns the anchor of the account that it was in."""
        provider = self._ports.provider
        anchor = noted or await provider.see(thread_id)
        if noted is None and kept.thread is not None:  # after this there may be nothing left to be seen
            await self._ports.index.anchor(kept.key, Thread(thread_id, kept.thread.generation, anchor))
        items = await provider.erase_thread(thread_id, anchor)
        log.info(Event.ENDED, thread_id=thread_id, assistant=kept.key.assistant, items=items)
        metrics.ENDED.labels("thread").inc()
        return anchor

    async def _end_records(
        self, due: AsyncIterator[Old], kept: Mapping[ThreadKey, Kept], done: Round, *, dry_run: bool
    ) -> None:
        """Anonymise or remove records, several at once: after each step the file of SQLite is cleaned."""
        some, size = list[Old](), 0
        async for each in due:
            if some and (len(some) == AT_ONCE or size + each.messages > MESSAGES_AT_ONCE):
                await self._end_portion(some, kept, done, dry_run=dry_run)
                some, size = [], 0
            some.append(each)
            size += each.messages
        await self._end_portion(some, kept, done, dry_run=dry_run)

    async def _end_portion(
        self, some: Sequence[Old], kept: Mapping[ThreadKey, Kept], done: Round, *, dry_run: bool
    ) -> None:
        """End these together; whatever keeps one, or all of them, holds up no other. Raises EngineDown."""
        try:
            ready = await self._ready(some, kept, done)
            if not dry_run:
                await self._end_sessions(ready)
        except EngineDown:
            raise
        except Exception as exc:  # noqa: BLE001 - as above
            if len(some) > 1 and not isinstance(exc, WorkerError):  # one of them is odd: each by itself
                for each in some:
                    await self._end_portion([each], kept, done, dry_run=dry_run)
                return
            for subject in {each.subject for each in some}:
                done.delay(subject, exc)
            return
        for old in ready:
            done.records[old.subject] = done.records.get(old.subject, 0) + 1

    async def _ready(self, some: Sequence[Old], kept: Mapping[ThreadKey, Kept], done: Round) -> list[Old]:
        """Leave out what runs all the same, and what has an exchange on its way to the transcript."""
        subjects = {each.subject for each in some}
        running = await self._ports.instances.running({each.instance for each in subjects if each.instance})
        shared = [each for each in subjects if each.business_key is not None]
        alive = {each for each in shared if await runs(self._ports.instances, each)}
        ready = list[Old]()
        for old in some:
            try:
                turns = await self._ports.index.turns(kept[old.key]) if old.key in kept else ()
                _check(turns, runs=old.subject in alive or old.subject.instance in running)
            except Exception as exc:  # noqa: BLE001 - as above
                done.delay(old.subject, exc)
            else:
                ready.append(old)
        return ready

    async def _end_sessions(self, some: Sequence[Old]) -> None:
        transcript = self._ports.transcript
        if transcript is None:
            return
        stay = [session_id(old.key) for old in some if old.words_only]
        gone = [session_id(old.key) for old in some if not old.words_only]
        if stay:
            metrics.ENDED.labels("anonymise").inc((await transcript.anonymise(stay, self._ports.now())).sessions)
        if gone:
            metrics.ENDED.labels("remove").inc((await transcript.drop(gone)).sessions)


def _check(turns: Iterable[TurnKept], *, runs: bool) -> None:
    """Raise NotYet for what keeps a record whose time has come."""
    if runs:
        raise NotYet("an instance of it runs")
    if any(turn.unrecorded or turn.newer for turn in turns):
        raise NotYet("the transcript does not have every exchange yet")


def _owner(session: Session) -> Subject:
    """Tell with whose end a session ends; the record knows the instance of every one that is not shared."""
    whose = owner(session.key, session.process_instance_id)
    return whose or Subject(session.engine, instance=str(session.process_instance_id))
