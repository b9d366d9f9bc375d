"""Ends conversations when their process is over and their time has come. Whatever runs is never touched."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal, assert_never

import structlog

from worker import metrics
from worker.conversations import Filter, Session, Subject
from worker.domain import ThreadKey
from worker.ending.outside import Outside, cancel_runs, holding, key_of, now, owns, sessions
from worker.erasure import Kept
from worker.errors import EngineDown, ProviderAway, ProviderPaused, Transient, WorkerError
from worker.logs import Event

THREADS, TRANSCRIPT, MISSING = "threads", "transcript", "missing"
"""Queues of the ledger: whose threads, whose record ends one day; and whom the engine does not know any more."""
MISSING_FOR = timedelta(days=1)
"""An instance that is in no history may be one that we may not see, or the engine was mixed up: time to notice that."""

Kind = Literal["keep", "anonymise", "remove"]

log = structlog.get_logger()


class NotYet(Transient):
    """The time has come, and yet it must not be done now."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How long what is kept after the end of a process; None keeps it for ever."""

    threads: timedelta | None
    transcript: timedelta | None
    kind: Kind

    @property
    def ages(self) -> dict[str, timedelta]:
        """What ends at all, and when."""
        ages = {THREADS: self.threads, TRANSCRIPT: None if self.kind == "keep" else self.transcript}
        return {queue: age for queue, age in ages.items() if age is not None}


@dataclass(slots=True)
class Round:
    """What one round did, or would do. `delayed` are those that could not be done, with the reason."""

    ended: dict[Subject, datetime] = field(default_factory=dict)
    threads: list[tuple[ThreadKey, str]] = field(default_factory=list)
    records: list[Subject] = field(default_factory=list)
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


class Retention:
    """Looks who is over, and does what is due. Every step may be repeated; the map goes last, so nothing is lost."""

    def __init__(self, outside: Outside, policy: Policy) -> None:
        self._outside = outside
        self._policy = policy

    async def sweep(self, *, dry_run: bool = False) -> Round:
        """Do one round. Raises EngineDown, StoreDown, TranscriptDown before anything is touched."""
        kept: dict[Subject, list[Kept]] = {}
        for each in await self._outside.census.threads():
            if each.owner is not None:
                kept.setdefault(each.owner, []).append(each)
        active = await self._active()
        ended = await self._ended({*kept, *active}, dry_run=dry_run)
        done = Round(ended)
        if not dry_run:
            await self._note(ended, kept, active)
            await self._remember(kept)
        for queue, age in self._policy.ages.items():
            due = await self._outside.ledger.due(queue, now() - age)
            due |= {subject: at for subject, at in ended.items() if dry_run and at <= now() - age}
            await self._do(queue, due, kept, done, dry_run=dry_run)
        return done

    async def _active(self) -> set[Subject]:
        """Whose sessions have not ended, by the transcript. Shared ones are known by their threads alone."""
        if self._outside.conversations is None:
            return set()
        wanted = Filter(engine=self._outside.engine_name, active=True)
        found = sessions(self._outside.conversations, wanted)
        return {_owner(session) async for session in found if session.process_instance_id}

    async def _ended(self, subjects: Iterable[Subject], *, dry_run: bool) -> dict[Subject, datetime]:
        """When those ended that have. The engine's word counts; who is in no history is watched for a day."""
        instances = {each.instance: each for each in subjects if each.instance is not None}
        running = await self._outside.instances.running(instances.keys())
        over = await self._outside.instances.ended(instances.keys() - running)
        ended = {instances[name]: at for name, at in over.items() if name in instances}
        alive = {instances[name] for name in running if name in instances}
        missing = {each for name, each in instances.items() if name not in running and name not in over}
        for subject in {each for each in subjects if each.business_key is not None}:
            match await self._shared_end(str(subject.business_key)):
                case "runs":
                    alive.add(subject)
                case "unknown":
                    missing.add(subject)
                case at:
                    ended[subject] = at
        return ended | await self._long_missing(missing, alive, dry_run=dry_run)

    async def _shared_end(self, business_key: str) -> datetime | Literal["runs", "unknown"]:
        """When the last instance with this key ended."""
        if await self._outside.instances.runs_with(business_key):
            return "runs"
        ends = [at for at in (await self._outside.instances.ran_with(business_key)).values() if at is not None]
        return max(ends) if ends else "unknown"

    async def _long_missing(
        self, missing: set[Subject], alive: set[Subject], *, dry_run: bool
    ) -> dict[Subject, datetime]:
        if not dry_run:
            await self._outside.ledger.drop(MISSING, alive)
            await self._outside.ledger.note(MISSING, dict.fromkeys(missing, now()))
        known = await self._outside.ledger.due(MISSING, now() - MISSING_FOR)
        return {subject: at for subject, at in known.items() if subject in missing}

    async def _note(
        self, ended: Mapping[Subject, datetime], kept: Mapping[Subject, object], active: set[Subject]
    ) -> None:
        """Queue up what ends one day, then end the sessions: in this order nobody is forgotten."""
        if not await self._outside.ledger.exists():
            await self._note_again()
        for queue in self._policy.ages:
            wanted = {*active, *(each for each in kept if queue == THREADS or each.business_key is not None)}
            await self._outside.ledger.note(queue, {each: at for each, at in ended.items() if each in wanted})
        await self._outside.ledger.begin()
        for subject, at in ended.items():
            if self._outside.transcript is not None and subject in active:
                await self._outside.transcript.end_sessions(subject.engine, str(subject.instance), at)

    async def _note_again(self) -> None:
        """Queue up from the transcript what Redis has forgotten."""
        if self._outside.conversations is None:
            return
        ends: dict[Subject, datetime] = {}
        async for session in sessions(self._outside.conversations, Filter(self._outside.engine_name, active=False)):
            if session.process_instance_id and session.ended_at:
                ends[_owner(session)] = session.ended_at
        for queue in self._policy.ages:
            await self._outside.ledger.note(queue, ends)

    async def _remember(self, kept: Mapping[Subject, list[Kept]]) -> None:
        """Keep the maps of all that wait: a thread that is forgotten before its time would stay at the provider."""
        if THREADS in self._policy.ages:
            for each in [each for threads in kept.values() for each in threads if each.thread is not None]:
                await self._outside.census.remember(each.key)

    async def _do(
        self,
        queue: str,
        due: Mapping[Subject, datetime],
        kept: Mapping[Subject, list[Kept]],
        done: Round,
        *,
        dry_run: bool,
    ) -> None:
        for subject in due:
            try:
                if queue == THREADS:
                    await self._end_threads(subject, kept.get(subject, []), done, dry_run=dry_run)
                elif dry_run:
                    done.records.append(subject)
                else:
                    await self._end_record(subject, kept.get(subject, []), done)
            except WorkerError as exc:
                done.delayed.append((subject, str(exc)))
                log.warning(Event.END_DELAYED, what=queue, instance=subject.instance, reason=str(exc))
                if isinstance(exc, (ProviderAway, ProviderPaused, EngineDown)):
                    return  # it would be the same with all others
                continue
            if not dry_run:
                await self._outside.ledger.drop(queue, [subject])

    async def _end_threads(self, subject: Subject, kept: list[Kept], done: Round, *, dry_run: bool) -> None:
        """Erase a subject's threads at the provider and in Redis."""
        known = {each.key: each for each in kept}
        named: dict[ThreadKey, set[str]] = {}
        for session in await self._sessions(subject):
            key = key_of(session)
            named.setdefault(key, set()).update(filter(None, [session.thread_id]))
            known.setdefault(key, Kept(key))
        for key, each in known.items():
            ids = named.get(key, set()) | ({each.thread.id} if each.thread else set())
            if not dry_run:
                await self._end_thread(subject, each, ids)
            done.threads += [(key, thread_id) for thread_id in sorted(ids)]

    async def _end_thread(self, subject: Subject, kept: Kept, ids: set[str]) -> None:
        async with holding(self._outside.census, kept.key) as hold:
            await self._check_over(subject)
            kept = replace(kept, thread=await self._outside.census.thread(kept.key))
            await cancel_runs(self._outside, kept)
            for thread_id in ids | ({kept.thread.id} if kept.thread else set()):
                items = await self._outside.provider.erase_thread(thread_id)
                log.info(Event.ENDED, thread_id=thread_id, assistant=kept.key.assistant, items=items)
                metrics.ENDED.labels("thread").inc()
            await self._outside.census.forget(hold, kept, unrecorded=False)

    async def _end_record(self, subject: Subject, kept: list[Kept], done: Round) -> None:
        """Anonymise or remove a subject's record; later, if an exchange is still on its way there."""
        if self._outside.transcript is None:
            return
        await self._check_over(subject)
        for each in kept:
            if any(turn.unrecorded for turn in await self._outside.census.turns(each)):
                raise NotYet("the transcript does not have every exchange yet")
        match self._policy.kind:
            case "anonymise":
                await self._outside.transcript.anonymise([subject])
            case "remove":
                await self._outside.transcript.remove([subject])
            case "keep":
                return
            case _:
                assert_never(self._policy.kind)
        metrics.ENDED.labels(self._policy.kind).inc()
        done.records.append(subject)

    async def _check_over(self, subject: Subject) -> None:
        """Raise WorkerError if an instance runs (again)."""
        runs = (
            bool(await self._outside.instances.running([subject.instance]))
            if subject.instance is not None
            else await self._outside.instances.runs_with(str(subject.business_key))
        )
        if runs:
            await self._outside.ledger.drop(THREADS, [subject])
            await self._outside.ledger.drop(TRANSCRIPT, [subject])
            raise NotYet("an instance of it runs")

    async def _sessions(self, subject: Subject) -> list[Session]:
        if self._outside.conversations is None:
            return []
        wanted = Filter(engine=subject.engine, instance=subject.instance, business_key=subject.business_key)
        found = [session async for session in sessions(self._outside.conversations, wanted)]
        if subject.business_key is not None:
            return [each for each in found if each.process_instance_id is None]
        return [each for each in found if owns(subject, each)]


def _owner(session: Session) -> Subject:
    return Subject(session.engine, instance=session.process_instance_id)
