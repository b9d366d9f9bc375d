"""Ends conversations when their process is over and their time has come. Whatever runs is never touched."""

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from worker.domain.conversations import Filter, Session, Subject, owner, session_id
from worker.domain.endings import Kept, Step, TurnKept, order_id
from worker.domain.threads import ThreadKey
from worker.ending.case import Case, Place
from worker.ending.clocks import agreed, check_engine
from worker.ending.ends import Ends, EndTimes
from worker.ending.erasing import Eraser
from worker.ending.ports import EndingPorts, holding, runs, sessions
from worker.ending.rounds import Policy, Round
from worker.ending.stores import Conversations, Messages, places
from worker.errors import EngineDown, ProviderAway, ProviderPaused, ThreadUnseen, Transient, WorkerError
from worker.runtime.portions import portions
from worker.telemetry import metrics
from worker.telemetry.logs import Event

AT_ONCE = 100
MESSAGES_AT_ONCE = 2000
"""Sessions and messages that end in one step: a database gives a step half a minute."""

Active = Mapping[Subject, Sequence[ThreadKey]]
Due = tuple[Subject, Kept]

log = structlog.get_logger()


class NotYet(Transient):
    """The time has come, and yet it must not be done now."""


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
        self._ends = EndTimes(ports)

    async def close(self) -> Ends:
        """Note in the transcript what is over. Raises EngineDown, TranscriptDown."""
        active = await self._active()
        ended = await self._ends.of(active.keys())
        await self._end(active, ended)
        return ended

    async def sweep(self, *, dry_run: bool = False, absent: bool = False) -> Round:
        """Do one round; what cannot be done is delayed. Raises ClocksDiffer, EngineDown, StoreDown, TranscriptDown.

        `absent`: a person says that threads that the key cannot see are gone.
        """
        now = await agreed(self._ports)
        done = Round(now, absent=absent)
        await self._end_chats(done, dry_run=dry_run)  # first: it needs no engine
        await check_engine(self._ports, now)
        kept = {each.key: each for each in await self._ports.index.threads()}
        active = await self._active()
        owners = {each.owner for each in kept.values() if each.owner} | active.keys()
        done.ended = ended = await self._ends.of(owners, dry_run=dry_run, now=now)
        if dry_run:
            unnoted = {subject: active[subject] for subject in active.keys() & ended.keys()}
        else:
            unnoted = {}
            await self._end(active, ended)
            await self._remember(kept.values())
        # Threads before sessions: a session may be the last that knows where its thread is.
        await self._end_threads(self._threads_due(kept, unnoted, done), done, dry_run=dry_run)
        await self._end_all_sessions(self._sessions_due(unnoted, done), kept, done, dry_run=dry_run)
        await self._end_records(ended, done, dry_run=dry_run)
        return done

    async def _active(self) -> dict[Subject, list[ThreadKey]]:
        """Whose conversations go on, as far as the transcript knows."""
        found = defaultdict[Subject, list[ThreadKey]](list)
        if self._ports.conversations is not None:
            wanted = Filter(engine=self._ports.engine_name, active=True, free=False)
            async for session in sessions(self._ports.conversations, wanted):
                found[_owner(session)].append(session.key)
        if self._ports.decisions is not None:
            for instance in await self._ports.decisions.going_on():
                found.setdefault(Subject(self._ports.engine_name, instance=instance), [])
        return found

    async def _end(self, active: Active, ended: Ends) -> None:
        if self._ports.transcript is None:
            return
        if self._ports.decisions is not None:
            over = {each.instance: at for each, at in ended.items() if each in active and each.instance}
            await self._ports.decisions.end(over)
        for subject in active.keys() & ended.keys():
            for names in portions(map(session_id, active[subject]), AT_ONCE):
                await self._ports.transcript.end(names, ended[subject])

    async def _remember(self, kept: Iterable[Kept]) -> None:
        """Keep the maps of all that wait: a thread that is forgotten before its time would stay at the provider."""
        if self._policy.threads is not None:
            for each in kept:
                if each.owner and each.thread:
                    await self._ports.index.remember(each.key)

    async def _threads_due(self, kept: Mapping[ThreadKey, Kept], unnoted: Active, done: Round) -> AsyncIterator[Due]:
        """Threads whose time has come, by what Redis has and by what the transcript remembers."""
        if self._policy.threads is None:
            return
        until, ended = done.now - self._policy.threads, done.ended
        over = {subject for subject, at in ended.items() if at <= until}
        for each in kept.values():
            if each.owner in over and each.owner:
                yield each.owner, each
        async for old in self._past(until, unnoted, ended, Filter(thread_erased=False)):
            # The others have been named above.
            if old.key not in kept or kept[old.key].owner not in over:
                yield old.subject, kept.get(old.key, Kept(old.key))

    async def _sessions_due(self, unnoted: Active, done: Round) -> AsyncIterator[Old]:
        """Sessions that have had their time. Their words go then; the last to know a thread goes after that."""
        if self._policy.transcript is None or self._policy.kind == "keep":
            return
        until, ended = done.now - self._policy.transcript, done.ended
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
        wanted = replace(wanted, engine=self._ports.engine_name, active=False, ended_until=until, free=False)
        async for session in sessions(self._ports.conversations, wanted):
            subject = _owner(session)
            if subject.business_key is None or await self._is_past(subject, until):
                yield Old(subject, session.key, session.messages)

    async def _is_past(self, subject: Subject, until: datetime) -> bool:
        end = await self._ends.shared(subject)
        return end == "unknown" or (isinstance(end, datetime) and end <= until)

    async def _end_threads(self, due: AsyncIterator[Due], done: Round, *, dry_run: bool) -> None:
        """Erase threads, with what there is of them elsewhere."""
        async for subject, kept in due:
            case = Case(self._ports, subject, absent=done.absent, kept={kept.key: kept})
            try:
                await Messages(case).find_thread(kept.key)
                if not dry_run:
                    await self._end_thread(case, kept.key)
            except Exception as exc:  # noqa: BLE001 - what is odd about one thread keeps none of the others
                done.delay(subject, exc)
                if isinstance(exc, (ProviderAway, ProviderPaused, EngineDown)):
                    return  # it would be the same with all others
                continue
            named = case.threads.keys() | {each.address for each in kept.named}
            done.threads += [(kept.key, each) for each in sorted(named)]

    async def _end_thread(self, case: Case, key: ThreadKey) -> None:
        async with holding(self._ports.index, key) as hold:
            # Once more, under the hold: an instance may have been started meanwhile, and from here on no turn is.
            if await runs(self._ports.instances, case.subject):
                raise NotYet("an instance of it runs")
            await case.quiet(hold)
            unseen = list[ThreadUnseen]()
            for place in places(case):  # those that nobody has looked into for all of the subject have no steps
                # What names a conversation is the only way back to it, as long as it may still be there.
                if place.waits and unseen and not case.absent:
                    raise unseen[0]
                for step in place.steps():
                    try:
                        await self._erase(place, step)
                    except ThreadUnseen as exc:  # holds up no other
                        unseen.append(exc)
        if self._ports.transcript is not None:
            # Last: a death before this has all of it looked for again, and nothing found.
            await self._ports.transcript.note_erased([session_id(key)], self._ports.now())

    async def _erase(self, place: Place, step: Step) -> None:
        async for after in place.erase(step):
            step = after
        if isinstance(place, Conversations) and step.key is not None:
            log.info(Event.ENDED, thread_id=place.name(step), assistant=step.key.assistant, items=step.count)
            metrics.ENDED.labels("thread").inc()

    async def _end_chats(self, done: Round, *, dry_run: bool) -> None:
        """Erase what persons have said beside all processes once its time is over; the engine is not asked."""
        async for subject in self._chats_due(done.now):
            try:
                if not dry_run:
                    await Eraser(self._ports).erase(subject, absent=done.absent)
            except Exception as exc:  # noqa: BLE001 - as above
                done.delay(subject, exc)
            else:
                done.chats.append(subject)

    async def _chats_due(self, now: datetime) -> AsyncIterator[Subject]:
        """Those in which nothing was said for so long, nothing waits for its answer, and that nobody erases already."""
        if self._policy.chats is None or self._ports.conversations is None or self._ports.asks is None:
            return
        until, orders = now - self._policy.chats, await self._ports.orders.open_orders()
        wanted = Filter(engine=self._ports.engine_name, free=True)
        async for session in sessions(self._ports.conversations, wanted):
            subject = _owner(session)
            if session.last_at > until or order_id(subject) in orders:
                continue
            if await self._ports.asks.oldest(session.key) is None:
                yield subject

    async def _end_records(self, ended: Ends, done: Round, *, dry_run: bool) -> None:
        """Remove records of decisions whose time is over. One whose instance runs again, or is on hold, stays."""
        if self._policy.decisions is None or self._ports.decisions is None:
            return
        until, records = done.now - self._policy.decisions, self._ports.decisions
        over = {each.instance: at for each, at in ended.items() if each.instance}
        due = [
            each
            for each in await records.old(until)
            if (at := each.ended_at or over.get(each.instance)) is not None and at <= until
        ]
        for some in portions(due, AT_ONCE):
            running = await self._ports.instances.running({each.instance for each in some})
            ids = [each.id for each in some if each.instance not in running]
            if not dry_run:
                ids = await records.drop(ids, until)
                metrics.ENDED.labels("decision").inc(len(ids))
            done.decisions += ids

    async def _end_all_sessions(
        self, due: AsyncIterator[Old], kept: Mapping[ThreadKey, Kept], done: Round, *, dry_run: bool
    ) -> None:
        """Anonymise or remove sessions, several at once: after each step the file of SQLite is cleaned."""
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
            held = await self._held(ready)
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
            # Of one that a hold keeps something of all else has gone, which a round may have to say many times.
            whose = done.held if session_id(old.key) in held else done.records
            whose[old.subject] = whose.get(old.subject, 0) + 1

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

    async def _held(self, some: Sequence[Old]) -> Collection[str]:
        """Tell of which sessions holds keep something."""
        if self._ports.transcript is None or not some:
            return frozenset()
        return await self._ports.transcript.held([session_id(old.key) for old in some])

    async def _end_sessions(self, some: Sequence[Old]) -> None:
        transcript = self._ports.transcript
        if transcript is None:
            return
        if self._ports.asks is not None and some:
            await self._ports.asks.drop([session_id(old.key) for old in some])
        stay = [session_id(old.key) for old in some if old.words_only]
        gone = [session_id(old.key) for old in some if not old.words_only]
        if stay:
            metrics.ENDED.labels("anonymise").inc((await transcript.anonymise(stay, self._ports.now())).sessions)
        if gone:
            metrics.ENDED.labels("remove").inc((await transcript.drop(gone)).sessions)


def _check(turns: Iterable[TurnKept], *, runs: bool) -> None:
    """Raise NotYet for what keeps a session whose time has come."""
    if runs:
        raise NotYet("an instance of it runs")
    if any(turn.unrecorded or turn.newer for turn in turns):
        raise NotYet("the transcript does not have every exchange yet")


def _owner(session: Session) -> Subject:
    """Tell with whose end a session ends; the transcript knows the instance of every one that is not shared."""
    whose = owner(session.key, session.process_instance_id)
    return whose or Subject(session.engine, instance=str(session.process_instance_id))
