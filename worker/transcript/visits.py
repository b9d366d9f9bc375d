"""Who is at which session, in the transcript's database."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, delete, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from worker.domain.conversations import Subject
from worker.domain.people import Person
from worker.domain.visits import SILENCE, Left, Stay, Visit
from worker.ports.visits import HEARD_WITHIN
from worker.runtime.portions import portions
from worker.transcript.clock import own_clock, read_clock
from worker.transcript.conditions import seen
from worker.transcript.database import Database
from worker.transcript.rows import Values
from worker.transcript.tables import sessions, visits
from worker.transcript.words import clean
from worker.transcript.writing import owned

MOST = 100
NEWEST = (visits.c.began_at.desc(), visits.c.id)
AT_ONCE = 200
"""Visits that one statement names, or that are closed at once."""


class SqlVisits:
    """Implements `ports.visits.VisitBook` and `ports.ending.Counting`. `now` is the clock of who has the file alone.

    Of one session the newest `most` visits are read, and of those that are over kept.
    """

    def __init__(
        self, database: Database, *, engine: str, now: Callable[[], datetime] = own_clock, most: int = MOST
    ) -> None:
        self._database = database
        self._engine = clean(engine)
        self._own_clock = now
        self._most = most
        self._open = (visits.c.engine == self._engine) & visits.c.ended_at.is_(None)

    async def keep(self, heartbeat: str, stays: Sequence[Stay]) -> None:
        """See `ports.visits.VisitBook.keep`."""
        if stays:
            await self._database.write(partial(self._keep, heartbeat, stays))

    async def _keep(self, heartbeat: str, stays: Sequence[Stay], connection: AsyncConnection) -> None:
        now = await self._now(connection)
        # By their sessions, as whoever records locks those: so neither waits for the other in a ring.
        for each in sorted(stays, key=lambda each: each.session_id):
            if each.is_new:
                row: Values = {"id": each.id, "session_id": each.session_id, "heartbeat": heartbeat}
                row |= {"began_at": now - each.began, "last_seen_at": now}
                await self._insert(row | _person(each.person) | _over(each, now), connection)
            elif each.ended is not None:
                await connection.execute(update(visits).where(visits.c.id == each.id).values(_over(each, now)))
        going_on = [each.id for each in stays if not each.is_new and each.ended is None]
        for some in portions(going_on, AT_ONCE):
            heard = {"last_seen_at": now, "ended_at": None, "duration_seconds": None}
            await connection.execute(update(visits).where(visits.c.id.in_(some)).values(heard))

    async def _insert(self, row: Values, connection: AsyncConnection) -> None:
        """Write a visit unless it is there, or its session is not, or is to name nobody any more."""
        there = exists().where(sessions.c.id == row["session_id"], sessions.c.anonymised_at.is_(None))
        if (await connection.execute(select(1).where(there))).first() is not None:
            insert = self._database.insert(visits).on_conflict_do_nothing(index_elements=[visits.c.id])
            await connection.execute(insert, {"engine": self._engine, **row})
            # One more for each page and each feed that begins: what nobody is shown any more goes.
            over = (visits.c.session_id == row["session_id"]) & visits.c.ended_at.is_not(None)
            older = select(visits.c.id).where(over).order_by(*NEWEST).offset(self._most)
            await connection.execute(delete(visits).where(visits.c.id.in_(older)))

    async def heartbeats(self) -> Collection[str]:
        """See `ports.visits.VisitBook.heartbeats`."""
        query = select(visits.c.heartbeat).where(self._open, visits.c.heartbeat.is_not(None)).distinct()
        async with self._database.reading() as connection:
            return (await connection.execute(query)).scalars().all()

    async def close(self, gone: Collection[str]) -> Left:
        """See `ports.visits.VisitBook.close`."""
        async with self._database.reading() as connection:
            # Most looks find nothing, and keep no writer waiting for that.
            now = self._own_clock() if self._database.is_sqlite else await self._now(connection)
            if (await connection.execute(self._left(gone, now).limit(1))).first() is None:
                return Left()
        return await self._database.write(partial(self._close, gone))

    async def _close(self, gone: Collection[str], connection: AsyncConnection) -> Left:
        now = await self._now(connection)
        # Locked, and looked at once more under it: its worker may have been heard of meanwhile.
        left = self._left(gone, now).limit(AT_ONCE).with_for_update(skip_locked=True)
        found = (await connection.execute(left)).mappings().all()
        for row in found:
            await _end(row, row["last_seen_at"], connection)
        silent = len([row for row in found if row["last_seen_at"] <= now - SILENCE])
        return Left(len(found) - silent, silent)

    def _left(self, gone: Collection[str], now: datetime) -> Select[Any]:
        lost = visits.c.heartbeat.in_(sorted(gone)) & (visits.c.last_seen_at <= now - HEARD_WITHIN)
        return select(visits).where(self._open, or_(visits.c.last_seen_at <= now - SILENCE, lost))

    async def begin(self, visit_id: str, session_id: str, person: Person) -> Visit | None:
        """See `ports.visits.VisitBook.begin`."""

        async def work(connection: AsyncConnection) -> None:
            now = await self._now(connection)
            row = {"id": visit_id, "session_id": session_id, "heartbeat": None, "began_at": now, "last_seen_at": now}
            await self._insert(row | _person(person), connection)

        await self._database.write(work)
        return await self.visit(visit_id)

    async def beat(self, visit_id: str) -> Visit | None:
        """See `ports.visits.VisitBook.beat`."""
        return await self._hear(visit_id, is_over=False)

    async def end(self, visit_id: str) -> Visit | None:
        """See `ports.visits.VisitBook.end`."""
        return await self._hear(visit_id, is_over=True)

    async def _hear(self, visit_id: str, *, is_over: bool) -> Visit | None:
        async def work(connection: AsyncConnection) -> None:
            now = await self._now(connection)
            own = select(visits).where(self._of_client(visit_id)).with_for_update()
            for row in (await connection.execute(own)).mappings().all():
                # What was silent for too long is over, also where nobody has looked yet.
                is_late = row["last_seen_at"] <= now - SILENCE
                if is_over or is_late:
                    await _end(row, row["last_seen_at"] if is_late else now, connection)
                else:
                    heard = update(visits).where(visits.c.id == row["id"])
                    await connection.execute(heard.values(last_seen_at=now))

        await self._database.write(work)
        return await self.visit(visit_id)

    def _of_client(self, visit_id: str) -> ColumnElement[bool]:
        """Find an open visit that no worker keeps: those are theirs alone."""
        return self._open & (visits.c.id == clean(visit_id)) & visits.c.heartbeat.is_(None)

    async def visit(self, visit_id: str) -> Visit | None:
        """See `ports.visits.VisitBook.visit`."""
        found = await self._read(select(visits).where(visits.c.id == clean(visit_id)))
        return found[0] if found else None

    async def of_session(self, session_id: str, *, is_open: bool | None = None) -> Sequence[Visit]:
        """See `ports.visits.VisitBook.of_session`."""
        own = select(visits).where(visits.c.session_id == clean(session_id))
        if is_open is not None:
            own = own.where(visits.c.ended_at.is_(None) if is_open else visits.c.ended_at.is_not(None))
        return await self._read(own.order_by(*NEWEST).limit(self._most))

    async def _read(self, query: Select[Any]) -> Sequence[Visit]:
        async with self._database.reading() as connection:
            found = await connection.execute(query.where(visits.c.engine == self._engine))
            return [_visit(row) for row in found.mappings()]

    async def count(self, subjects: Sequence[Subject]) -> int:
        """See `ports.ending.Counting.count`."""
        async with self._database.reading() as connection:
            counted = select(func.count()).select_from(visits).where(or_(*map(_is_of, subjects)))
            return int((await connection.execute(counted)).scalar_one())

    async def remove(self, subjects: Sequence[Subject]) -> int:
        """See `ports.ending.Counting.remove`."""

        async def work(connection: AsyncConnection) -> int:
            return (await connection.execute(delete(visits).where(or_(*map(_is_of, subjects))))).rowcount

        gone = await self._database.write(work)
        if gone and self._database.is_sqlite:
            await self._database.empty_log()  # which still has what was deleted
        return gone

    async def _now(self, connection: AsyncConnection) -> datetime:
        return await read_clock(connection, self._own_clock)


def _is_of(subject: Subject) -> ColumnElement[bool]:
    """Find the visits at a subject's sessions; of a person also their own, wherever those were."""
    own = visits.c.session_id.in_(select(sessions.c.id).where(owned(subject)))
    if subject.person is None or subject.chat is not None:
        return own
    there = select(sessions.c.id).where(sessions.c.engine == clean(subject.engine), *seen(subject.limits))
    return or_(own, (visits.c.person_id == subject.person) & visits.c.session_id.in_(there))


def _person(person: Person) -> Values:
    return {"person_id": person.id, "person": clean(person.name)}


def _over(stay: Stay, now: datetime) -> Values:
    """Say how long it was, if it is over."""
    if stay.ended is None:
        return {}
    return _ended(now - stay.ended, stay.began - stay.ended)


async def _end(row: RowMapping, at: datetime, connection: AsyncConnection) -> None:
    over = update(visits).where(visits.c.id == row["id"]).values(_ended(at, at - row["began_at"]))
    await connection.execute(over)


def _ended(at: datetime, lasted: timedelta) -> Values:
    return {"last_seen_at": at, "ended_at": at, "duration_seconds": lasted.total_seconds()}


def _visit(row: RowMapping) -> Visit:
    return Visit(**{name: row[name] for name in Visit.__slots__})
