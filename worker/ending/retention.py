"""Ends conversations when their process is over and their time has come. Whatever runs is never touched."""

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

import structlog

from worker import metrics
from worker.conversations import (
    EVERYTHING,
    Filter,
    MessageFilter,
    Session,
    Stored,
    Subject,
    owner,
    session_id,
)
from worker.domain import ThreadKey
from worker.ending.outside import Outside, cancel_runs, holding, now, runs, sessions
from worker.erasure import Kept
from worker.errors import EngineDown, ProviderAway, ProviderPaused, Transient, WorkerError
from worker.logs import Event

MISSING_FOR = timedelta(days=1)
"""An instance that is in no history may be one that we may not see, or the engine was mixed up: time to notice that."""
AT_ONCE = 100
"""Records that end in one step."""

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
    """What one round did, or would do. `records` says how many sessions of whom; `delayed` what keeps whom."""

    ended: Ends = field(default_factory=dict)
    threads: list[tuple[ThreadKey, str]] = field(default_factory=list)
    records: dict[Subject, int] = field(default_factory=dict)
    delayed: list[tuple[Subject, str]] = field(default_factory=list)

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

    def delay(self, subject: Subject, reason: WorkerError) -> None:
        """Note that it could not be done."""
        self.delayed.append((subject, str(reason)))
        log.warning(Event.END_DELAYED, what=subject.instance or subject.business_key, reason=str(reason))


class Retention:
    """Looks who is over, and does what is due. Every step may be repeated; what knows of others goes last.

    Whose end is whose: the engine says. Since when: the transcript remembers, and without one the engine again. So
    nothing else needs to be remembered, and a changed policy holds for all that ended before.
    """

    def __init__(self, outside: Outside, policy: Policy) -> None:
        self._outside = outside
        self._policy = policy

    async def close(self) -> Ends:
        """Note in the transcript what is over. Raises EngineDown, TranscriptDown."""
        active = await self._active()
        ended = await self._ended(active.keys())
        await self._end(active, ended)
        return ended

    async def sweep(self, *, dry_run: bool = False) -> Round:
        """Do one round. Raises EngineDown, StoreDown, TranscriptDown before anything is touched."""
        kept = {each.key: each for each in await self._outside.census.threads()}
        active = await self._active()
        owners = {each.owner for each in kept.values() if each.owner} | active.keys()
        ended = await self._ended(owners, dry_run=dry_run, strict=True)
        done = Round(ended)
        if not dry_run:
            await self._end(active, ended)
            await self._remember(kept.values())
        await self._end_threads(self._threads_due(kept, active, ended), done, dry_run=dry_run)
        await self._end_records(self._records_due(active, ended), kept, done, dry_run=dry_run)
        return done

    async def _active(self) -> dict[Subject, list[ThreadKey]]:
        """Whose conversations go on, as far as the transcript knows."""
        found = defaultdict[Subject, list[ThreadKey]](list)
        if self._outside.conversations is not None:
            wanted = Filter(engine=self._outside.engine_name, active=True)
            async for session in sessions(self._outside.conversations, wanted):
                found[_owner(session)].append(session.key)
        return found

    async def _ended(
        self, subjects: Collection[Subject], *, dry_run: bool = False, strict: bool = False
    ) -> dict[Subject, datetime]:
        """When those ended that have. The engine's word counts; `strict` watches for a day who is in no history."""
        instances = {each.instance: each for each in subjects if each.instance is not None}
        running = await self._outside.instances.running(instances.keys())
        over = await self._outside.instances.ended(instances.keys() - running)
        ended = {instances[name]: at for name, at in over.items() if name in instances}
        missing = {each for name, each in instances.items() if name not in running and name not in over}
        for subject in {each for each in subjects if each.business_key is not None}:
            match await self._shared_end(subject):
                case datetime() as at:
                    ended[subject] = at
                case "unknown":
                    missing.add(subject)
        return ended | await self._long_missing(missing, dry_run=dry_run) if strict else ended

    async def _shared_end(self, subject: Subject) -> datetime | Literal["runs", "unknown"]:
        """When the last instance with this key ended."""
        if await runs(self._outside.instances, subject):
            return "runs"
        ran = await self._outside.instances.ran_with(str(subject.business_key), subject.tenants)
        return max(filter(None, ran.values()), default="unknown")

    async def _long_missing(self, missing: set[Subject], *, dry_run: bool) -> dict[Subject, datetime]:
        if missing:
            example = next(iter(missing))
            log.warning(Event.INSTANCES_MISSING, count=len(missing), example=example.instance or example.business_key)
        if not dry_run:
            await self._outside.ledger.watch(missing, now())
        known = await self._outside.ledger.missing()
        return {subject: at for subject, at in known.items() if subject in missing and at <= now() - MISSING_FOR}

    async def _end(self, active: Active, ended: Ends) -> None:
        if self._outside.transcript is not None:
            for subject in active.keys() & ended.keys():
                await self._outside.transcript.end(list(map(session_id, active[subject])), ended[subject])

    async def _remember(self, kept: Iterable[Kept]) -> None:
        """Keep the maps of all that wait: a thread that is forgotten before its time would stay at the provider."""
        if self._policy.threads is not None:
            for each in kept:
                if each.owner and each.thread:
                    await self._outside.census.remember(each.key)

    async def _threads_due(self, kept: Mapping[ThreadKey, Kept], active: Active, ended: Ends) -> AsyncIterator[Due]:
        """Threads whose time has come, by what Redis has and by what the transcript remembers."""
        if self._policy.threads is None:
            return
        until = now() - self._policy.threads
        over = {subject for subject, at in ended.items() if at <= until}
        for each in kept.values():
            if each.owner in over and each.owner:
                yield each.owner, each
        async for subject, key in self._past(until, active, ended, Filter(thread_erased=False)):
            if key not in kept or kept[key].owner not in over:
                yield subject, kept.get(key, Kept(key))

    async def _records_due(self, active: Active, ended: Ends) -> AsyncIterator[tuple[Subject, ThreadKey]]:
        """Sessions whose record has had its time."""
        if self._policy.transcript is not None and self._policy.kind != "keep":
            left = Filter(anonymised=False if self._policy.kind == "anonymise" else None)
            async for each in self._past(now() - self._policy.transcript, active, ended, left):
                yield each

    async def _past(
        self, until: datetime, active: Active, ended: Ends, wanted: Filter
    ) -> AsyncIterator[tuple[Subject, ThreadKey]]:
        """Sessions that ended by then. What instances share is asked for again: another one may have run since."""
        for subject in active:
            if ended.get(subject, now()) <= until:  # noted by now, unless nothing is to be changed
                for key in active[subject]:
                    yield subject, key
        if self._outside.conversations is None:
            return
        wanted = replace(wanted, engine=self._outside.engine_name, active=False, ended_until=until)
        async for session in sessions(self._outside.conversations, wanted):
            subject = _owner(session)
            if subject in active or (subject.business_key is not None and not await self._is_past(subject, until)):
                continue
            yield subject, session.key

    async def _is_past(self, subject: Subject, until: datetime) -> bool:
        end = await self._shared_end(subject)
        return end == "unknown" or (isinstance(end, datetime) and end <= until)

    async def _end_threads(self, due: AsyncIterator[Due], done: Round, *, dry_run: bool) -> None:
        """Erase threads at the provider and in Redis."""
        async for subject, kept in due:
            try:
                stored = await self._stored(kept.key)
                if not dry_run:
                    await self._end_thread(subject, kept, stored)
            except WorkerError as exc:
                done.delay(subject, exc)
                if isinstance(exc, (ProviderAway, ProviderPaused, EngineDown)):
                    return  # it would be the same with all others
                continue
            names = stored.threads | ({kept.thread.id} if kept.thread else set())
            done.threads += [(kept.key, thread_id) for thread_id in sorted(names)]

    async def _stored(self, key: ThreadKey) -> Stored:
        if self._outside.conversations is None:
            return Stored()
        return await self._outside.conversations.stored(MessageFilter(session_id(key)), within=EVERYTHING)

    async def _end_thread(self, subject: Subject, kept: Kept, stored: Stored) -> None:
        async with holding(self._outside.census, kept.key) as hold:
            if await runs(self._outside.instances, subject):
                raise NotYet("an instance of it runs")
            kept = replace(kept, thread=await self._outside.census.thread(kept.key))
            turns = await cancel_runs(self._outside, kept)
            for thread_id in stored.threads | ({kept.thread.id} if kept.thread else set()):
                items = await self._outside.provider.erase_thread(thread_id)
                log.info(Event.ENDED, thread_id=thread_id, assistant=kept.key.assistant, items=items)
                metrics.ENDED.labels("thread").inc()
            for response_id in stored.responses | {turn.response_id for turn in turns if turn.response_id}:
                await self._outside.provider.erase_response(response_id)
            await self._outside.census.forget(hold, kept, unrecorded=False)
        if self._outside.transcript is not None:
            await self._outside.transcript.note_erased([session_id(kept.key)], now())

    async def _end_records(
        self,
        due: AsyncIterator[tuple[Subject, ThreadKey]],
        kept: Mapping[ThreadKey, Kept],
        done: Round,
        *,
        dry_run: bool,
    ) -> None:
        """Anonymise or remove records, many at once: after each step the file of SQLite is cleaned."""
        some = list[tuple[Subject, ThreadKey]]()
        async for each in due:
            some.append(each)
            if len(some) == AT_ONCE:
                await self._end_portion(some, kept, done, dry_run=dry_run)
                some = []
        if some:
            await self._end_portion(some, kept, done, dry_run=dry_run)

    async def _end_portion(
        self, some: Sequence[tuple[Subject, ThreadKey]], kept: Mapping[ThreadKey, Kept], done: Round, *, dry_run: bool
    ) -> None:
        """Leave out what runs all the same, and what has an exchange on its way to the transcript."""
        running = await self._outside.instances.running({each.instance for each, _ in some if each.instance})
        ready = list[tuple[Subject, ThreadKey]]()
        for subject, key in some:
            if subject.instance in running:
                done.delay(subject, NotYet("an instance of it runs"))
            elif key in kept and any(turn.unrecorded for turn in await self._outside.census.turns(kept[key])):
                done.delay(subject, NotYet("the transcript does not have every exchange yet"))
            else:
                ready.append((subject, key))
        transcript, names = self._outside.transcript, [session_id(key) for _, key in ready]
        if transcript is not None and not dry_run:
            work = transcript.anonymise(names, now()) if self._policy.kind == "anonymise" else transcript.drop(names)
            metrics.ENDED.labels(self._policy.kind).inc((await work).sessions)
        for subject, _ in ready:
            done.records[subject] = done.records.get(subject, 0) + 1


def _owner(session: Session) -> Subject:
    """Tell with whose end a session ends; the record knows the instance of every one that is not shared."""
    whose = owner(session.key, session.process_instance_id)
    return whose or Subject(session.engine, instance=str(session.process_instance_id))
