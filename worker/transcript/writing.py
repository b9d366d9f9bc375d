"""The record's writing side."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Table, bindparam, delete, exists, or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from worker.conversations import Ended, Exchange, Subject
from worker.transcript.database import Database
from worker.transcript.rows import Values, ending, merged, message_rows, session_row
from worker.transcript.tables import WORDS_INDEX, messages, sessions
from worker.transcript.words import clean

REMOVED = "[removed]"


class _Statements:
    """What `record` says, built once: that costs more than saying it."""

    def __init__(self, insert: Callable[[Table], sqlite.Insert | postgresql.Insert]) -> None:
        own = sessions.c.id == bindparam("session")
        self.add_session = insert(sessions).on_conflict_do_nothing()
        self.lock_session = select(sessions).where(own).with_for_update()
        self.add_messages = insert(messages).on_conflict_do_nothing().returning(messages.c.id)
        self.change_session = update(sessions).where(own)


_SQLITE = _Statements(sqlite.insert)
_POSTGRESQL = _Statements(postgresql.insert)


class SqlTranscript:
    """Implements `conversations.Transcript`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, exchange: Exchange) -> None:
        """See `conversations.Transcript.record`."""
        session, both = session_row(exchange), message_rows(exchange)
        statements = _SQLITE if self._database.is_sqlite else _POSTGRESQL

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(statements.add_session, session)
            # The lock keeps others of this session waiting until all is written.
            found = await connection.execute(statements.lock_session, {"session": session["id"]})
            known = found.mappings().one()
            if not (await connection.execute(statements.add_messages, both)).all():
                await connection.rollback()  # it is there already, perhaps in another session
            elif changes := merged(known, session):
                await connection.execute(statements.change_session, {"session": session["id"], **changes})

        await self._database.write(work)

    async def end_sessions(self, engine: str, instance: str, ended_at: datetime) -> int:
        """See `conversations.Transcript.end_sessions`."""
        owned = _owned(Subject(engine, instance=instance))

        async def work(connection: AsyncConnection) -> int:
            active = select(sessions.c.id, sessions.c.started_at).where(owned, sessions.c.is_active).with_for_update()
            found = (await connection.execute(active)).all()
            for name, started_at in found:
                over = ending(started_at, ended_at)
                await connection.execute(update(sessions).where(sessions.c.id == name).values(over))
            return len(found)

        return await self._database.write(work)

    async def anonymise(self, subjects: Sequence[Subject]) -> Ended:
        """See `conversations.Transcript.anonymise`."""
        return await self._end(subjects, _anonymise)

    async def remove(self, subjects: Sequence[Subject]) -> Ended:
        """See `conversations.Transcript.remove`."""
        return await self._end(subjects, _remove)

    async def _end(
        self, subjects: Sequence[Subject], step: Callable[[Subject, AsyncConnection], Awaitable[Ended]]
    ) -> Ended:
        """Take a step for one subject after the other, each in its own transaction."""
        steps: list[Ended] = [await self._database.write(partial(step, subject)) for subject in subjects]
        ended = Ended(sum(each.sessions for each in steps), sum(each.messages for each in steps))
        if self._database.is_sqlite and ended != Ended(0, 0):
            await self._database.write(_scrub)
            await self._database.empty_log()
        return ended

    async def ping(self) -> None:
        """See `conversations.Transcript.ping`."""
        async with self._database.reading() as connection:
            await connection.execute(select(sessions.c.id).limit(1))


async def _anonymise(subject: Subject, connection: AsyncConnection) -> Ended:
    said = _said(subject) & (messages.c.content != REMOVED)
    named = _owned(subject) & sessions.c.user_id.is_not(None) & (sessions.c.user_id != REMOVED)
    users = await connection.execute(update(sessions).where(named).values(user_id=REMOVED))
    blank: Values = {"content": REMOVED, "words": "", "attachment_url": None}
    contents = await connection.execute(update(messages).where(said).values(blank))
    return Ended(users.rowcount, contents.rowcount)


async def _remove(subject: Subject, connection: AsyncConnection) -> Ended:
    touched = select(messages.c.session_id).where(_said(subject)).distinct()
    shared = [name for (name,) in await connection.execute(touched)]
    said = await connection.execute(delete(messages).where(_said(subject)))
    owned = await connection.execute(delete(sessions).where(_owned(subject)))
    return Ended(owned.rowcount + await _drop_empty(connection, shared), said.rowcount)


async def _scrub(connection: AsyncConnection) -> None:
    """Let go of the words of erased messages, which SQLite's full-text index keeps until it is merged."""
    await connection.execute(text(f"INSERT INTO {WORDS_INDEX}({WORDS_INDEX}) VALUES ('optimize')"))  # noqa: S608 - a constant


def _owned(subject: Subject) -> ColumnElement[bool]:
    own = sessions.c.engine == clean(subject.engine)
    if subject.instance is not None:
        return own & (sessions.c.process_instance_id == clean(subject.instance))
    key = clean(str(subject.business_key))
    return own & or_(sessions.c.business_key == key, sessions.c.scope == f"business-key:{key}")


def _said(subject: Subject) -> ColumnElement[bool]:
    own = messages.c.session_id.in_(select(sessions.c.id).where(_owned(subject)))
    if subject.instance is None:
        return own
    elsewhere = select(sessions.c.id).where(sessions.c.engine == clean(subject.engine))
    shared = messages.c.session_id.in_(elsewhere) & (messages.c.process_instance_id == clean(subject.instance))
    return or_(own, shared)


async def _drop_empty(connection: AsyncConnection, names: list[Any]) -> int:
    left = exists().where(messages.c.session_id == sessions.c.id)
    dropped = 0
    for name in names:
        done = await connection.execute(delete(sessions).where(sessions.c.id == name, ~left))
        dropped += done.rowcount
    return dropped
