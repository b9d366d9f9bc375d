"""What persons hand to processes, in the transcript's database, beside the ask that it is of."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, delete, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from worker.domain.handovers import Handover, Standing
from worker.domain.people import Person
from worker.transcript.clock import own_clock, read_clock
from worker.transcript.database import Database
from worker.transcript.tables import asks, handovers
from worker.transcript.words import clean, clean_all

_SAME = ("message", "task", "variable", "hash", "state", "holder", "begun_at", "due_at", "finished_at", "decided_by")
"""What a row has by the same names as a hand-over."""
MOST = 100
"""Hand-overs of one session that are read, as its asks are."""


class SqlHandovers:
    """Implements `ports.handovers.HandoverBook`. `now` is the clock of who has the file alone."""

    def __init__(self, database: Database, *, now: Callable[[], datetime] = own_clock) -> None:
        self._database = database
        self._own_clock = now

    async def handover(self, ask_id: str) -> Handover | None:
        """See `ports.handovers.HandoverBook.handover`."""
        found = await self._read(select(handovers).where(handovers.c.ask_id == clean(ask_id)))
        return found[0] if found else None

    async def of_session(self, session_id: str) -> Sequence[Handover]:
        """See `ports.handovers.HandoverBook.of_session`."""
        own = select(handovers).join(asks, asks.c.id == handovers.c.ask_id)
        own = own.where(asks.c.session_id == clean(session_id))
        return await self._read(own.order_by(handovers.c.begun_at.desc()).limit(MOST))

    async def _read(self, query: Select[Any]) -> Sequence[Handover]:
        async with self._database.reading() as connection:
            return [_handover(row) for row in (await connection.execute(query)).mappings()]

    async def begin(self, handover: Handover, lease: timedelta) -> Handover:
        """See `ports.handovers.HandoverBook.begin`."""
        return await self._database.write(partial(self._begin, _row(handover), lease))

    async def _begin(self, row: dict[str, Any], lease: timedelta, connection: AsyncConnection) -> Handover:
        now, own = await self._now(connection), handovers.c.ask_id == row["ask_id"]
        # What certainly did not reach the process makes room for another try; all else stays, and is returned.
        await connection.execute(delete(handovers).where(own, handovers.c.state == Standing.NOT_HANDED_OVER))
        insert = self._database.insert(handovers).on_conflict_do_nothing(index_elements=[handovers.c.ask_id])
        await connection.execute(insert, row | {"begun_at": now, "due_at": now + lease})
        return _handover((await connection.execute(select(handovers).where(own))).mappings().one())

    async def settle(self, handover: Handover, state: Standing, *, decided_by: str = "", lapsed: bool = False) -> bool:
        """See `ports.handovers.HandoverBook.settle`."""

        async def work(connection: AsyncConnection) -> int:
            now = await self._now(connection)
            said = {"state": state, "finished_at": now, "decided_by": clean(decided_by)}
            return (
                await connection.execute(update(handovers).where(_is(handover, now, lapsed=lapsed)).values(said))
            ).rowcount

        return bool(await self._database.write(work))

    async def drop(self, handover: Handover, *, lapsed: bool = False) -> bool:
        """See `ports.handovers.HandoverBook.drop`."""

        async def work(connection: AsyncConnection) -> int:
            now = await self._now(connection)
            return (await connection.execute(delete(handovers).where(_is(handover, now, lapsed=lapsed)))).rowcount

        return bool(await self._database.write(work))

    async def _now(self, connection: AsyncConnection) -> datetime:
        return await read_clock(connection, self._own_clock)


def _is(handover: Handover, now: datetime, *, lapsed: bool) -> ColumnElement[bool]:
    """Find a hand-over that stands as it did when it was read."""
    own = (handovers.c.ask_id == handover.ask) & (handovers.c.holder == handover.holder)
    own &= handovers.c.state == handover.state
    return own & (handovers.c.due_at <= now if lapsed else true())


def _row(handover: Handover) -> dict[str, Any]:
    person = {"issuer": handover.person.issuer, "subject": handover.person.subject, "person": handover.person.name}
    same = {name: getattr(handover, name) for name in _SAME}
    cleaned: dict[str, Any] = clean_all({"ask_id": handover.ask, **person, **same})
    return cleaned


def _handover(row: RowMapping) -> Handover:
    same = {name: row[name] for name in _SAME if name != "state"}
    person = Person(row["issuer"], row["subject"], row["person"])
    return Handover(ask=row["ask_id"], person=person, state=Standing(row["state"]), **same)
