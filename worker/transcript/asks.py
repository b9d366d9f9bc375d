"""What persons ask, in the transcript's database: where each ask stands, and who has it."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    ColumnElement,
    Delete,
    RowMapping,
    Select,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from worker.domain.asks import UNFINISHED, Ask, State
from worker.domain.conversations import Subject
from worker.domain.people import Person
from worker.domain.threads import SHARED_SCOPE, ThreadKey
from worker.errors import AskedOtherwise
from worker.transcript.clock import own_clock, read_clock
from worker.transcript.conditions import of_person, of_tenants
from worker.transcript.database import Database
from worker.transcript.holds import settle
from worker.transcript.persons import Unsaid, unsay
from worker.transcript.rows import new_session
from worker.transcript.tables import asks, sessions
from worker.transcript.words import clean, clean_all
from worker.transcript.writing import forget

_SAME: tuple[str, ...] = (
    "id",
    "session_id",
    "client_id",
    "text",
    "definition_id",
    "definition_key",
    "definition_version",
    "business_key",
    "on_thread",
    "as_of",
    "state",
    "created_at",
    "due_at",
    "holder",
    "deaths",
    "failure",
    "finished_at",
)
"""What a row has by the same names as an ask."""


class SqlAsks:
    """Implements `ports.asks.AskBook` and `AskEraser` for one engine. `now` is the clock of who has the file alone.

    `tenants` are those whose asks are claimed, None among them those without one; None: all.
    """

    def __init__(
        self,
        database: Database,
        *,
        engine: str,
        tenants: frozenset[str | None] | None = None,
        now: Callable[[], datetime] = own_clock,
    ) -> None:
        self._database = database
        self._served = true() if tenants is None else of_tenants(asks.c.tenant, tenants)
        self._utc = now
        self._own = asks.c.engine == clean(engine)

    async def begin(self, key: ThreadKey, person: Person) -> None:
        """See `ports.asks.AskBook.begin`."""

        async def work(connection: AsyncConnection) -> None:
            now = await self._now(connection)
            row = new_session(key, started_at=now, last_at=now, definition_key="", user_id=person.name)
            await connection.execute(self._database.insert(sessions).on_conflict_do_nothing(), row)

        await self._database.write(work)

    async def accept(self, ask: Ask) -> Ask:
        """See `ports.asks.AskBook.accept`."""
        row = _row(ask)
        kept = await self._database.write(partial(self._accept, row))
        if (kept.text, list(kept.attachments)) != (row["text"], row["attachments"]):
            raise AskedOtherwise("a message with another text or other links came before under this id")
        return kept

    async def _accept(self, row: dict[str, Any], connection: AsyncConnection) -> Ask:
        now = await self._now(connection)
        # The first one counts: a client whose reply was lost sends the same ask again.
        insert = self._database.insert(asks).on_conflict_do_nothing(index_elements=[asks.c.id])
        await connection.execute(insert, row | {"created_at": now, "due_at": now})
        found = await connection.execute(select(asks).where(asks.c.id == row["id"]))
        return _ask(found.mappings().one())

    async def ask(self, ask_id: str) -> Ask | None:
        """See `ports.asks.AskBook.ask`."""
        found = await self._read(select(asks).where(self._own, asks.c.id == clean(ask_id)))
        return found[0] if found else None

    async def of_session(self, session_id: str, limit: int = 100) -> Sequence[Ask]:
        """See `ports.asks.AskBook.of_session`."""
        own = self._own & (asks.c.session_id == clean(session_id))
        newest = select(asks.c.number).where(own).order_by(asks.c.number.desc()).limit(limit)
        found = select(asks).where(own, asks.c.number.in_(newest) | _is_unfinished())
        return await self._read(found.order_by(asks.c.number.desc()))

    async def oldest(self, target: ThreadKey) -> Ask | None:
        """See `ports.asks.AskBook.oldest`."""
        found = await self._read(select(asks).where(self._unfinished(target)).order_by(asks.c.number).limit(1))
        return found[0] if found else None

    async def waiting(self, person: Person, most: int) -> int:
        """See `ports.asks.AskBook.waiting`."""
        # Hidden from the person's index, which has all that they ever asked: little waits.
        whose = func.coalesce(asks.c.person_id, "") == person.id
        theirs = select(asks.c.number).where(self._own, _is_unfinished(), whose).limit(most)
        async with self._database.reading() as connection:
            counted = select(func.count()).select_from(theirs.subquery())
            return int((await connection.execute(counted)).scalar_one())

    def _unfinished(self, target: ThreadKey) -> ColumnElement[bool]:
        # NULL is no tenant, and `=` finds no NULL.
        there = asks.c.tenant.is_not_distinct_from(target.tenant)
        there &= (asks.c.target == clean(target.scope)) & (asks.c.assistant == clean(target.assistant))
        return self._own & there & _is_unfinished()

    async def claim(self, most: int, lease: timedelta, but: Collection[str] = ()) -> Sequence[Ask]:
        """See `ports.asks.AskBook.claim`."""
        async with self._database.reading() as connection:
            # Most looks find nothing, and keep no writer waiting for that.
            now = self._utc() if self._database.is_sqlite else func.clock_timestamp()
            if (await connection.execute(self._due(now, 1, but))).first() is None:
                return ()
        return await self._database.write(partial(self._claim, most, lease, but))

    async def _claim(
        self, most: int, lease: timedelta, but: Collection[str], connection: AsyncConnection
    ) -> Sequence[Ask]:
        now, claimed = await self._now(connection), list[Ask]()
        # What another worker is just claiming is passed over. SQLite has no such lock, and needs none: its writer is
        # alone.
        due = self._due(now, most, but).with_for_update(skip_locked=True)
        for row in (await connection.execute(due)).mappings().all():
            known = _ask(row)
            ask = replace(
                known,
                state=State.RUNNING,
                holder=uuid4().hex,
                due_at=now + lease,
                # It was due, and so its lease is over: who had it was not heard of again.
                deaths=known.deaths + (known.state is State.RUNNING),
            )
            names = ("state", "holder", "due_at", "deaths")
            taken = update(asks).where(asks.c.number == row["number"])
            await connection.execute(taken.values({name: getattr(ask, name) for name in names}))
            claimed.append(ask)
        return claimed

    def _due(self, now: datetime | ColumnElement[datetime], most: int, but: Collection[str]) -> Select[Any]:
        """Find asks that are due and have no other of their thread before them."""
        older = asks.alias()
        there = (older.c.engine == asks.c.engine) & older.c.tenant.is_not_distinct_from(asks.c.tenant)
        there &= (older.c.target == asks.c.target) & (older.c.assistant == asks.c.assistant)
        before = exists().where(there, older.c.number < asks.c.number, _is_unfinished(older.c.state))
        due = select(asks).where(self._own, self._served, _is_unfinished(), asks.c.due_at <= now, ~before)
        due = due.where(asks.c.id.not_in([*but])) if but else due
        return due.order_by(asks.c.due_at, asks.c.number).limit(most)

    async def renew(self, ask: Ask, lease: timedelta) -> bool:
        """See `ports.asks.AskBook.renew`."""
        return await self._change(ask, lease)

    async def postpone(self, ask: Ask, by: timedelta, *, begun: bool = True) -> bool:
        """See `ports.asks.AskBook.postpone`."""
        return await self._change(ask, by, state=State.QUEUED, holder=None, deaths=0 if begun else ask.deaths)

    async def settle(self, ask: Ask, state: State, failure: str = "", answer: str | None = None) -> bool:
        """See `ports.asks.AskBook.settle`."""
        return await self._change(ask, None, state=state, holder=None, failure=clean(failure), answer_id=answer)

    async def _change(self, ask: Ask, due_in: timedelta | None, **values: Any) -> bool:
        """Change an ask that its holder still has; without a time it is finished."""

        async def work(connection: AsyncConnection) -> int:
            now = await self._now(connection)
            at = {"finished_at": now} if due_in is None else {"due_at": now + due_in}
            # The holder has a new name with each claim: a worker that lost its lease changes nothing of its
            # successor's.
            held = update(asks).where(asks.c.id == ask.id, asks.c.holder == ask.holder)
            return (await connection.execute(held.values(values | at))).rowcount

        return bool(await self._database.write(work))

    async def withdraw(self, ask_id: str) -> Ask | None:
        """See `ports.asks.AskBook.withdraw`."""

        async def work(connection: AsyncConnection) -> None:
            # Not one that a worker has: that is being answered, and may have been paid for.
            queued = update(asks).where(self._own, asks.c.id == clean(ask_id), asks.c.state == State.QUEUED)
            at = await self._now(connection)
            await connection.execute(queued.values(state=State.WITHDRAWN, finished_at=at))

        await self._database.write(work)
        return await self.ask(ask_id)

    async def make_way(self, ask: Ask) -> bool:
        """See `ports.asks.AskBook.make_way`."""
        theirs = self._unfinished(ask.target) & (asks.c.person_id == ask.person.id)

        async def work(connection: AsyncConnection) -> bool:
            # Locked, so that no worker begins with one of them meanwhile.
            found = await connection.execute(select(asks.c.state).where(theirs).with_for_update())
            if State.RUNNING in found.scalars().all():
                return False
            at = await self._now(connection)
            await connection.execute(update(asks).where(theirs).values(state=State.WITHDRAWN, finished_at=at))
            return True

        return await self._database.write(work)

    async def backlog(self) -> int:
        """See `ports.asks.AskBook.backlog`."""
        async with self._database.reading() as connection:
            counted = select(func.count()).select_from(asks).where(self._own, _is_unfinished())
            return int((await connection.execute(counted)).scalar_one())

    async def spoken_on(self, subject: Subject) -> Sequence[ThreadKey]:
        """See `ports.asks.AskEraser.spoken_on`."""
        return list(dict.fromkeys(each.target for each in await self._read(select(asks).where(self._asked(subject)))))

    async def unsay(self, subject: Subject) -> tuple[int, int, int]:
        """See `ports.asks.AskEraser.unsay`."""

        async def work(connection: AsyncConnection) -> Unsaid:
            await settle(connection, self._database)
            return await unsay(subject, self._asked(subject), await self._now(connection), connection)

        done = await self._database.write(work)
        if done.gone:
            await forget(self._database)
        return done

    def _asked(self, subject: Subject) -> ColumnElement[bool]:
        """What a person asked about processes."""
        own = self._own & (asks.c.person_id == subject.person) & ~of_person(asks.c.about, subject)
        return own if subject.tenants is None else own & of_tenants(asks.c.tenant, subject.tenants)

    async def count(self, subjects: Sequence[Subject]) -> int:
        """See `ports.asks.AskEraser.count`."""
        async with self._database.reading() as connection:
            counted = select(func.count()).select_from(asks).where(self._own, _of(subjects))
            return int((await connection.execute(counted)).scalar_one())

    async def remove(self, subjects: Sequence[Subject]) -> int:
        """See `ports.asks.AskEraser.remove`."""
        return await self._delete(delete(asks).where(self._own, _of(subjects)))

    async def drop(self, sessions: Sequence[str]) -> int:
        """See `ports.asks.AskEraser.drop`."""
        return await self._delete(delete(asks).where(self._own, asks.c.session_id.in_([*sessions])))

    async def _delete(self, those: Delete) -> int:
        async def work(connection: AsyncConnection) -> int:
            return (await connection.execute(those)).rowcount

        gone = await self._database.write(work)
        if gone and self._database.is_sqlite:
            await self._database.empty_log()  # which still has what was deleted
        return gone

    async def _read(self, query: Select[Any]) -> Sequence[Ask]:
        async with self._database.reading() as connection:
            return [_ask(row) for row in (await connection.execute(query)).mappings()]

    async def _now(self, connection: AsyncConnection) -> datetime:
        return await read_clock(connection, self._utc)


def _is_unfinished(state: ColumnElement[str] = asks.c.state) -> ColumnElement[bool]:
    # Literal: an index of some rows is only found by what looks the same.
    return state.in_([literal_column(f"'{each}'") for each in UNFINISHED])


def _of(subjects: Iterable[Subject]) -> ColumnElement[bool]:
    return or_(*map(_is_of, subjects))


def _is_of(subject: Subject) -> ColumnElement[bool]:
    own: ColumnElement[bool]
    if subject.instance is not None:
        own = asks.c.process_instance_id == clean(subject.instance)
    elif subject.person is not None:
        own = of_person(asks.c.about, subject)
    else:
        key = clean(str(subject.business_key))
        own = or_(asks.c.business_key == key, asks.c.about == SHARED_SCOPE + key)
    return own if subject.tenants is None else own & of_tenants(asks.c.tenant, subject.tenants)


def _row(ask: Ask) -> dict[str, Any]:
    person = {"person_id": ask.person.id, "issuer": ask.person.issuer, "subject": ask.person.subject}
    place = {"engine": ask.about.engine, "tenant": ask.about.tenant, "assistant": ask.about.assistant}
    threads = {"about": ask.about.scope, "target": ask.target.scope, "process_instance_id": ask.instance}
    same = {name: getattr(ask, name) for name in _SAME}
    row = {**person, **place, **threads, **same, "person": ask.person.name, "answer_id": ask.answer}
    row |= {"attachments": [*ask.attachments]}
    cleaned: dict[str, Any] = clean_all(row)
    return cleaned


def _ask(row: RowMapping) -> Ask:
    about = ThreadKey(row["engine"], row["about"], row["assistant"], row["tenant"])
    same = {name: row[name] for name in _SAME if name not in ("session_id", "state")}
    return Ask(
        **same,
        state=State(row["state"]),
        about=about,
        target=replace(about, scope=row["target"]),
        person=Person(row["issuer"], row["subject"], row["person"]),
        instance=row["process_instance_id"],
        answer=row["answer_id"],
        attachments=tuple(row["attachments"] or ()),
    )
