"""What was remembered, as people see it and as erasing finds it."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    RowMapping,
    Select,
    bindparam,
    column,
    delete,
    false,
    func,
    literal_column,
    null,
    select,
    table,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from worker.domain.conversations import Limits
from worker.domain.memory import KeptFact, KnownSubject, MemorySubject, Proposal, Remembrance, State
from worker.errors import MemoryDown, TranscriptDown, Unstorable
from worker.transcript.clock import own_clock, read_clock
from worker.transcript.conditions import before as before_
from worker.transcript.conditions import of_tenants
from worker.transcript.database import Database
from worker.transcript.hurried import Hurried
from worker.transcript.memos import new_subject
from worker.transcript.rows import NOTED
from worker.transcript.tables import FACTS_INDEX, memory_facts, memory_subjects, memory_waiting, messages
from worker.transcript.words import clean, fts5_query, ts_query
from worker.transcript.writing import forget

_KNOWN = select(memory_subjects.c.generation).where(memory_subjects.c.digest == bindparam("digest"))


class SqlFacts:
    """Implements `ports.memory.FactBook` for one engine; with `engine` empty for all of them.

    `own_engine` is whose instances are erased, `engine` if it is not given: another one may have the same ids. `now` is
    the clock of who has the file alone.
    """

    def __init__(
        self,
        database: Database,
        hurried: Hurried,
        *,
        engine: str,
        own_engine: str = "",
        now: Callable[[], datetime] = own_clock,
    ) -> None:
        self._database = database
        self._hurried = hurried
        self._engine = clean(engine)
        self._own = clean(own_engine or engine)
        self._own_clock = now

    async def known(self, subject: MemorySubject) -> MemorySubject | None:
        """See `ports.memory.Subjects.known`."""
        try:
            rows = await self._hurried.rows(_KNOWN, digest=subject.digest)
        except (TranscriptDown, Unstorable) as exc:
            raise MemoryDown(f"what is remembered cannot be read: {exc}") from exc
        return MemorySubject(subject.digest, subject.tenant, rows[0][0]) if rows else None

    async def subjects(
        self, within: Limits, limit: int = 100, before: tuple[datetime, str] | None = None
    ) -> list[KnownSubject]:
        """See `ports.memory.FactBook.subjects`."""
        query = self._subjects(within).limit(limit)
        if before is not None:
            query = query.where(before_(memory_subjects.c.changed_at, memory_subjects.c.digest, *before))
        return await self._read(query)

    async def subject(self, digest: str, within: Limits) -> KnownSubject | None:
        """See `ports.memory.FactBook.subject`."""
        found = await self._read(self._subjects(within).where(memory_subjects.c.digest == clean(digest)))
        return found[0] if found else None

    async def know(self, subject: MemorySubject, kind: str) -> None:
        """See `ports.memory.FactBook.know`."""
        tenant = subject.tenant and clean(subject.tenant)

        async def work(connection: AsyncConnection) -> None:
            now = await read_clock(connection, self._own_clock)
            row = new_subject(subject.digest, tenant, self._engine or self._own, kind, now)
            await connection.execute(self._database.insert(memory_subjects).on_conflict_do_nothing(), row)

        await self._database.write(work)

    def _subjects(self, within: Limits) -> Select[Any]:
        counts = [
            _count(memory_facts, memory_facts.c.state == "approved").label("facts"),
            _count(memory_facts, memory_facts.c.state == "proposed").label("proposed"),
            _count(memory_waiting).label("waiting"),
        ]
        newest = (memory_subjects.c.changed_at.desc(), memory_subjects.c.digest.desc())
        return select(memory_subjects, *counts).where(*self._seen(within)).order_by(*newest)

    def _seen(self, within: Limits) -> Iterator[ColumnElement[bool]]:
        if self._engine:
            yield memory_subjects.c.engine == self._engine
        if within.tenants is not None:
            yield of_tenants(memory_subjects.c.tenant, within.tenants)

    async def _read(self, query: Select[Any]) -> list[KnownSubject]:
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).mappings().all()
        names = KnownSubject.__slots__
        return [KnownSubject(**{name: row[name] for name in names}) for row in rows]

    async def facts(self, digest: str, words: str = "", limit: int = 200) -> list[KeptFact]:
        """See `ports.memory.FactBook.facts`."""
        # Without the whole answers that proposals have: they may be of megabytes.
        shown = (each for each in memory_facts.c if each.name not in {"answer", "question", "words"})
        query = select(*shown).where(memory_facts.c.subject == clean(digest))
        if words.strip():
            wanted = fts5_query(words) if self._database.is_sqlite else ts_query(words)
            if not wanted:
                return []
            query = query.where(_found(wanted, sqlite=self._database.is_sqlite))
        async with self._database.reading() as connection:
            rows = await connection.execute(query.order_by(memory_facts.c.number.desc()).limit(limit))
            return [_fact(row) for row in rows.mappings()]

    async def proposals(self, instance: str) -> list[Proposal]:
        """See `ports.memory.FactBook.proposals`. What was erased meanwhile is none."""
        noted, waiting = (
            (each.c.engine == self._own) & (each.c.process_instance_id == clean(instance))
            for each in (memory_facts, memory_waiting)
        )
        is_approved = memory_facts.c.approved_by.is_not(None)
        facts = select(messages.c.task_id, memory_facts.c.subject, memory_facts.c.id, is_approved.label("approved"))
        facts = facts.join(messages, messages.c.id == memory_facts.c.message_id)
        coming = select(messages.c.task_id, memory_waiting.c.subject, null().label("id"), false().label("approved"))
        coming = coming.join(messages, messages.c.id == memory_waiting.c.message_id)
        async with self._database.reading() as connection:
            # What waits comes first: what becomes a fact in between is found twice, and not never.
            found = (await connection.execute(coming.where(waiting, memory_waiting.c.needs_approval))).all()
            wanted = noted & (is_approved | (memory_facts.c.state == "proposed"))
            found = [*found, *(await connection.execute(facts.where(wanted).order_by(memory_facts.c.number)))]
        return [Proposal(task, subject, fact, bool(approved)) for task, subject, fact, approved in found]

    async def approve(self, fact: str, digest: str, by: str) -> bool:
        """See `ports.memory.FactBook.approve`."""
        own = (memory_facts.c.id == clean(fact)) & (memory_facts.c.subject == clean(digest))

        async def work(connection: AsyncConnection) -> bool:
            now = await read_clock(connection, self._own_clock)
            subject = memory_subjects.c.digest == clean(digest)
            # Its row is locked first, as whoever remembers does.
            place = update(memory_subjects).where(subject).values(place=memory_subjects.c.place + 1, changed_at=now)
            returned = place.returning(memory_subjects.c.place, memory_subjects.c.generation)
            found = (await connection.execute(returned)).mappings().first()
            values = {"state": "approved", "approved_by": clean(by), "approved_at": now}
            approving = update(memory_facts).where(own, memory_facts.c.state == "proposed").values(values)
            row = (await connection.execute(approving.returning(memory_facts))).mappings().first()
            if found is None or row is None:
                await connection.rollback()
                return False
            kept = ("subject", "engine", "process_instance_id", "ref", "assistant", "question", "message_id", "said_at")
            waiting = {name: row[name] for name in kept} | {"fact_id": row["id"], "message_id": None}
            states = {"needs_approval": False, "due_at": now, "is_late": False, "why": ""}
            await connection.execute(memory_waiting.insert(), {**waiting, **states, **found})
            return True

        return await self._database.write(work)

    async def drop_fact(self, fact: str, digest: str, *, only_proposed: bool = False) -> bool:
        """See `ports.memory.FactBook.drop_fact`."""
        own = (memory_facts.c.id == clean(fact)) & (memory_facts.c.subject == clean(digest))
        # Of a proposal nothing waits: it is not on its way to the memory.
        waiting = false() if only_proposed else memory_waiting.c.fact_id == clean(fact)
        if only_proposed:
            own &= memory_facts.c.state == "proposed"

        async def work(connection: AsyncConnection) -> int:
            gone = delete(memory_facts).where(own).returning(memory_facts.c.state, memory_facts.c.message_id)
            await connection.execute(delete(memory_waiting).where(waiting))
            dropped = (await connection.execute(gone)).all()
            for state, message in dropped:
                if state == "proposed":
                    await _note_refused(message, connection)
            return len(dropped)

        return bool(await self._forgotten(await self._database.write(work)))

    async def of_instances(self, instances: Collection[str]) -> list[tuple[MemorySubject, str]]:
        """See `ports.memory.FactBook.of_instances`."""
        names = sorted(map(clean, instances))
        parts = [
            select(each.c.subject, each.c.process_instance_id).where(
                each.c.engine == self._own, each.c.process_instance_id.in_(names)
            )
            for each in (memory_facts, memory_waiting)
        ]
        found = parts[0].union(parts[1]).subquery()
        query = select(memory_subjects, found.c.process_instance_id).join(
            found, found.c.subject == memory_subjects.c.digest
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query.order_by(memory_subjects.c.digest))).mappings().all()
        return [(_subject(row), row["process_instance_id"]) for row in rows]

    async def drop_instance(self, subject: MemorySubject, instance: str) -> int:
        """See `ports.memory.FactBook.drop_instance`."""
        own = [
            (each.c.subject == subject.digest)
            & (each.c.engine == self._own)
            & (each.c.process_instance_id == clean(instance))
            for each in (memory_facts, memory_waiting)
        ]
        return await self._gone(own[0], own[1])

    async def drop(self, subject: MemorySubject) -> int:
        """See `ports.memory.FactBook.drop`."""
        own = (memory_subjects.c.digest == subject.digest) & (memory_subjects.c.generation == subject.generation)

        async def work(connection: AsyncConnection) -> int:
            now = await read_clock(connection, self._own_clock)
            values = {"generation": memory_subjects.c.generation + 1, "forgotten_at": now, "changed_at": now}
            if not (await connection.execute(update(memory_subjects).where(own).values(values))).rowcount:
                return 0  # what is there now came later
            gone = [each.c.subject == subject.digest for each in (memory_facts, memory_waiting)]
            return await _delete(gone[0], gone[1], connection)

        return await self._forgotten(await self._database.write(work))

    async def _gone(self, facts: ColumnElement[bool], waiting: ColumnElement[bool]) -> int:
        return await self._forgotten(await self._database.write(partial(_delete, facts, waiting)))

    async def _forgotten(self, count: int) -> int:
        if count:
            await forget(self._database)
        return count


async def _delete(facts: ColumnElement[bool], waiting: ColumnElement[bool], connection: AsyncConnection) -> int:
    # What waits goes first: who settles one of these now makes a fact of it, or finds it gone.
    gone = (await connection.execute(delete(memory_waiting).where(waiting))).rowcount
    return gone + (await connection.execute(delete(memory_facts).where(facts))).rowcount


async def _note_refused(message: str | None, connection: AsyncConnection) -> None:
    """Have an answer tell that a person has refused to remember it: what was forgotten looks the same otherwise."""
    own = messages.c.id == message
    known = (await connection.execute(select(messages.c.metadata).where(own).with_for_update())).scalar()
    if known is not None:
        noted = {**known, NOTED: {**known.get(NOTED, {}), "refused": True}}
        await connection.execute(update(messages).where(own).values(metadata=noted))


async def remembrances(connection: AsyncConnection, found: Sequence[RowMapping]) -> Mapping[str, Remembrance]:
    """Tell what became of those of these messages that are to be remembered, by their ids."""
    wanted = {row["id"]: row for row in found if NOTED in row["metadata"]}
    if not wanted:
        return {}
    w, f = memory_waiting.c, memory_facts.c
    # What waits comes first: what becomes a fact in between is found twice, and not never.
    waiting = select(w.message_id, w.is_late, w.why).where(w.message_id.in_(wanted))
    became: dict[str, tuple[State, str]] = {
        # Of an unforeseen error the kind is told, and not the places in our code.
        message: ("late" if is_late else "waiting", why.partition(" < ")[0])
        for message, is_late, why in await connection.execute(waiting)
    }
    # By their instances, which an index has.
    instances = {row["process_instance_id"] for row in wanted.values()}
    facts = select(f.message_id, f.state).where(f.process_instance_id.in_(instances), f.message_id.in_(wanted))
    for message, state in await connection.execute(facts):
        became[message] = ("remembered" if state == "approved" else "proposed", "")
    return {name: _remembrance(row["metadata"][NOTED], became.get(name)) for name, row in wanted.items()}


def _remembrance(noted: Mapping[str, Any], became: tuple[State, str] | None) -> Remembrance:
    gone: State = "refused" if noted.get("refused") else "forgotten"
    return Remembrance(noted["subject"], *(became or (gone, "")))


def _count(of: Any, *conditions: ColumnElement[bool]) -> ColumnElement[int]:
    own = of.c.subject == memory_subjects.c.digest
    return select(func.count()).select_from(of).where(own, *conditions).scalar_subquery()


def _found(wanted: str, *, sqlite: bool) -> ColumnElement[bool]:
    if sqlite:
        numbers = select(column("rowid", Integer())).select_from(table(FACTS_INDEX))
        return memory_facts.c.number.in_(numbers.where(literal_column(FACTS_INDEX).op("MATCH")(wanted)))
    # Written like the index, or it would not be used.
    vector = func.to_tsvector(literal_column("'simple'"), memory_facts.c.words)
    return vector.op("@@", is_comparison=True)(func.to_tsquery(literal_column("'simple'"), wanted))


def _subject(row: RowMapping) -> MemorySubject:
    return MemorySubject(row["digest"], row["tenant"], row["generation"])


def _fact(row: RowMapping) -> KeptFact:
    return KeptFact(
        row["id"],
        row["subject"],
        row["state"],
        row["text"],
        row["process_instance_id"],
        row["assistant"],
        row["ref"],
        row["message_id"],
        row["said_at"],
        row["approved_by"],
        row["approved_at"],
    )
