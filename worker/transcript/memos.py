"""What has yet to be remembered: noted with the exchange that it is of, and taken in order, subject by subject."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import RowMapping, Select, and_, case, delete, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from worker.domain.conversations import REMOVED, Role, digest, message_id
from worker.domain.exchanges import Exchange
from worker.domain.memory import Backlog, MemorySubject, Settled, Waiting, fact_text
from worker.domain.threads import ref
from worker.transcript.clock import own_clock, read_clock
from worker.transcript.database import Database
from worker.transcript.rows import Values, checked
from worker.transcript.tables import memory_facts, memory_subjects, memory_waiting, messages
from worker.transcript.words import clean, words

MOST_NOTED = 1000
"""Of what waits for a memory that is away so much is told why at once."""
LEASE = timedelta(seconds=30)
"""What a worker has taken is due again then, unless it was settled."""
CLOCKS_DIFFER = timedelta(minutes=1)
"""When something was asked Redis' clock says, and when it was forgotten the database's."""


def memo_row(exchange: Exchange) -> Values | None:
    """Write what an exchange leaves to be remembered; None if nothing. Raises Unstorable."""
    wish, key = exchange.leaves, exchange.key
    if wish is None:
        return None
    row = {
        "subject": wish.subject,
        "engine": key.engine,
        "message_id": message_id(key.engine, exchange.task_id, exchange.attempt, Role.AGENT),
        "process_instance_id": exchange.process_instance_id,
        "ref": ref(key, exchange.task_id, exchange.attempt),
        "assistant": key.assistant,
        "question": wish.question,
        "needs_approval": wish.approve,
        "said_at": exchange.answered_at,
    }
    return checked(memory_waiting, row)


async def note(exchanges: Iterable[tuple[Exchange, Values]], database: Database, connection: AsyncConnection) -> None:
    """Have these remembered, in the transaction that records them; not what was asked before its subject was forgotten.

    The rows of subjects are locked in one order, as those of sessions are; of one subject what was said first is first.
    """
    for exchange, row in sorted(exchanges, key=lambda each: (str(each[1]["subject"]), each[0].answered_at)):
        wish, subject = exchange.remember, memory_subjects
        if wish is None:
            continue
        now = await read_clock(connection, own_clock)
        tenant = exchange.key.tenant and clean(exchange.key.tenant)
        new = new_subject(row["subject"], tenant, row["engine"], wish.kind, now)
        insert = database.insert(subject).on_conflict_do_nothing(index_elements=[subject.c.digest])
        await connection.execute(insert, new)
        if wish.generation is None:
            asked_at = exchange.asked_at - CLOCKS_DIFFER
            remembered = or_(subject.c.forgotten_at.is_(None), subject.c.forgotten_at < asked_at)
        else:
            remembered = subject.c.generation == wish.generation
        found = await connection.execute(
            update(subject)
            .where(subject.c.digest == row["subject"], remembered)
            .values(place=subject.c.place + 1, changed_at=now)
            .returning(subject.c.place, subject.c.generation)
        )
        place = found.mappings().first()
        if place is None:
            continue
        states = {"due_at": now, "is_late": False, "why": ""}
        await connection.execute(memory_waiting.insert(), {**row, **states, **place})


def new_subject(digest_: str, tenant: str | None, engine: str, kind: str, now: datetime) -> Values:
    """Write the row of a subject of which nothing is known yet."""
    named = {"digest": digest_, "tenant": tenant, "engine": engine, "kind": clean(kind)}
    return {**named, "generation": 0, "place": 0, "changed_at": now}


class SqlMemos:
    """Implements `ports.memory.Memos` for one engine. `now` is the clock of who has the file alone."""

    def __init__(self, database: Database, *, engine: str, now: Callable[[], datetime] = own_clock) -> None:
        self._database = database
        self._engine = clean(engine)
        self._own_clock = now

    async def claim(self, most: int, *, only_proposed: bool = False) -> list[Waiting]:
        """See `ports.memory.Memos.claim`."""
        async with self._database.reading() as connection:
            # Most looks find nothing, and keep no writer waiting for that.
            now = await read_clock(connection, self._own_clock)
            due = self._due(now)
            if only_proposed:
                due = due.where(memory_waiting.c.needs_approval)
            if (await connection.execute(due.limit(1))).first() is None:
                return []
        return await self._database.write(partial(self._claim, due.limit(most), now))

    def _due(self, now: datetime) -> Select[tuple[int]]:
        other = memory_waiting.alias()
        before = exists().where(
            other.c.subject == memory_waiting.c.subject,
            other.c.engine == memory_waiting.c.engine,
            ~other.c.is_late,
            ~other.c.needs_approval,
            other.c.place < memory_waiting.c.place,
        )
        first = or_(memory_waiting.c.is_late, memory_waiting.c.needs_approval, ~before)
        due = and_(memory_waiting.c.engine == self._engine, memory_waiting.c.due_at <= now)
        return select(memory_waiting.c.number).where(due, first).order_by(memory_waiting.c.number)

    async def _claim(self, wanted: Select[tuple[int]], now: datetime, connection: AsyncConnection) -> list[Waiting]:
        due = wanted.with_for_update(skip_locked=True)
        numbers = (await connection.execute(due)).scalars().all()
        await connection.execute(
            update(memory_waiting).where(memory_waiting.c.number.in_(numbers)).values(due_at=now + LEASE)
        )
        text = case((memory_waiting.c.fact_id.is_not(None), memory_facts.c.answer), else_=messages.c.content)
        found = await connection.execute(
            select(memory_waiting, text.label("answer"), memory_subjects.c.tenant)
            .join(memory_subjects, memory_subjects.c.digest == memory_waiting.c.subject)
            .outerjoin(messages, messages.c.id == memory_waiting.c.message_id)
            .outerjoin(memory_facts, memory_facts.c.id == memory_waiting.c.fact_id)
            .where(memory_waiting.c.number.in_(numbers))
            .order_by(memory_waiting.c.number)
        )
        waiting, gone = list[Waiting](), list[int]()
        for row in found.mappings():
            # Whose words were taken meanwhile leaves nothing to remember.
            if row["answer"] in {None, REMOVED}:
                gone.append(row["number"])
            else:
                waiting.append(_waiting(row))
        await connection.execute(delete(memory_waiting).where(memory_waiting.c.number.in_(gone)))
        return waiting

    async def settle(self, done: Waiting, question: str, answer: str) -> Settled:
        """See `ports.memory.Memos.settle`."""

        async def work(connection: AsyncConnection) -> Settled:
            current = await is_current(done.subject, connection)
            gone = await connection.execute(delete(memory_waiting).where(memory_waiting.c.number == done.number))
            if not gone.rowcount or not current:
                known = (memory_facts.c.subject == done.subject.digest) & (memory_facts.c.ref == done.ref)
                is_there = (await connection.execute(select(memory_facts.c.id).where(known))).first() is not None
                return "before" if is_there else "gone"
            state = "proposed" if done.approve else "approved"
            row = fact_row(done, self._engine, question, answer, state)
            # Whole only until a person has decided: what is recalled stands in its text.
            row["answer"] = answer if done.approve else ""
            insert = self._database.insert(memory_facts)
            # One that a person has approved is there already, and knows where it is from.
            source = func.coalesce(insert.excluded.message_id, memory_facts.c.message_id)
            changed = {"message_id": source, "answer": insert.excluded.answer}
            each = [memory_facts.c.subject, memory_facts.c.ref]
            await connection.execute(
                insert.on_conflict_do_update(index_elements=each, set_=changed), checked(memory_facts, row)
            )
            return "kept"

        return await self._database.write(work)

    async def postpone(self, waiting: Waiting, by: timedelta, *, late: bool = False, why: str = "") -> None:
        """See `ports.memory.Memos.postpone`."""
        own = memory_waiting.c.number == waiting.number
        values: Mapping[str, Any] = {"why": clean(why)[:500]} | ({"is_late": True} if late else {})

        async def work(connection: AsyncConnection) -> None:
            due_at = await read_clock(connection, self._own_clock) + by
            await connection.execute(update(memory_waiting).where(own).values(**values, due_at=due_at))

        await self._database.write(work)

    async def delay(self, why: str) -> None:
        """See `ports.memory.Memos.delay`."""
        own = (
            (memory_waiting.c.engine == self._engine) & (memory_waiting.c.why == "") & ~memory_waiting.c.needs_approval
        )
        some = select(memory_waiting.c.number).where(own).limit(MOST_NOTED)
        noted = update(memory_waiting).where(memory_waiting.c.number.in_(some)).values(why=clean(why)[:500])

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(noted)

        await self._database.write(work)

    async def backlog(self) -> Backlog:
        """See `ports.memory.Memos.backlog`."""
        own = memory_waiting.c.engine == self._engine
        counted = select(
            func.count(), func.sum(case((memory_waiting.c.is_late, 1), else_=0)), func.max(memory_waiting.c.why)
        )
        proposed = select(func.count()).where(memory_facts.c.engine == self._engine, memory_facts.c.state == "proposed")
        async with self._database.reading() as connection:
            waiting, late, why = (await connection.execute(counted.where(own))).one()
            open_ = (await connection.execute(proposed)).scalar_one()
        return Backlog(waiting, int(late or 0), open_, why or "")


def _waiting(row: RowMapping) -> Waiting:
    return Waiting(
        row["number"],
        MemorySubject(row["subject"], row["tenant"], row["generation"]),
        row["place"],
        row["process_instance_id"],
        row["ref"],
        row["assistant"],
        row["question"],
        row["answer"],
        row["said_at"],
        row["message_id"],
        row["needs_approval"],
        row["fact_id"],
        row["is_late"],
    )


async def is_current(subject: MemorySubject, connection: AsyncConnection) -> bool:
    """Whether a subject was not forgotten since; keeps it so until the transaction ends."""
    own = memory_subjects.c.digest == subject.digest
    found = await connection.execute(select(memory_subjects.c.generation).where(own).with_for_update())
    return found.scalar_one_or_none() == subject.generation


def fact_id(subject: MemorySubject, ref_: str) -> str:
    """Name what one attempt has left of a subject."""
    return digest("fact", subject.digest, str(subject.generation), ref_)


def fact_row(of: Waiting, engine: str, question: str, answer: str, state: str) -> Values:
    """Write a fact; question and answer are redacted."""
    text = clean(fact_text(question, answer))
    row = {
        "id": fact_id(of.subject, of.ref),
        "subject": of.subject.digest,
        "engine": engine,
        "state": state,
        "text": text,
        "words": words(text),
        "process_instance_id": of.instance,
        "ref": of.ref,
        "assistant": of.assistant,
        "question": question,
        "answer": answer,
        "message_id": of.message,
        "said_at": of.at,
    }
    return checked(memory_facts, row)
