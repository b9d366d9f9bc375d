"""The record's writing side."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from worker.conversations import Ended, Exchange, Subject
from worker.transcript.database import Database
from worker.transcript.rows import Values, ending, merged, message_rows, session_row
from worker.transcript.tables import WORDS_INDEX, messages, sessions
from worker.transcript.words import clean

REMOVED = "[removed]"


class SqlTranscript:
    """Implements `conversations.Transcript`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, exchange: Exchange) -> None:
        """See `conversations.Transcript.record`."""
        session, both = session_row(exchange), message_rows(exchange)
        async with self._database.writing() as connection:
            insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
            await connection.execute(insert(sessions).values(session).on_conflict_do_nothing())
            # The lock keeps others of this session waiting until all is written.
            found = await connection.execute(select(sessions).where(sessions.c.id == session["id"]).with_for_update())
            known = found.mappings().one()
            adding = insert(messages).on_conflict_do_nothing().returning(messages.c.id)
            if not (await connection.execute(adding, both)).all():
                await connection.rollback()  # it is there already, perhaps in another session
                return
            if changes := merged(known, session):
                await connection.execute(update(sessions).where(sessions.c.id == session["id"]).values(changes))

    async def end_sessions(self, engine: str, instance: str, ended_at: datetime) -> int:
        """See `conversations.Transcript.end_sessions`."""
        owned = (sessions.c.engine == clean(engine)) & (sessions.c.process_instance_id == clean(instance))
        async with self._database.writing() as connection:
            active = select(sessions.c.id, sessions.c.started_at).where(owned, sessions.c.is_active).with_for_update()
            found = (await connection.execute(active)).all()
            for name, started_at in found:
                over = ending(started_at, ended_at)
                await connection.execute(update(sessions).where(sessions.c.id == name).values(over))
            return len(found)

    async def anonymise(self, subjects: Sequence[Subject]) -> Ended:
        """See `conversations.Transcript.anonymise`."""
        blank: Values = {"content": REMOVED, "words": "", "attachment_url": None}
        changed = [await self._anonymise(subject, blank) for subject in subjects]
        return await self._ended(changed)

    async def _anonymise(self, subject: Subject, blank: Values) -> Ended:
        said = _said(subject) & (messages.c.content != REMOVED)
        named = _owned(subject) & sessions.c.user_id.is_not(None) & (sessions.c.user_id != REMOVED)
        async with self._database.writing() as connection:
            users = await connection.execute(update(sessions).where(named).values(user_id=REMOVED))
            contents = await connection.execute(update(messages).where(said).values(blank))
            return Ended(users.rowcount, contents.rowcount)

    async def remove(self, subjects: Sequence[Subject]) -> Ended:
        """See `conversations.Transcript.remove`."""
        removed = [await self._remove(subject) for subject in subjects]
        return await self._ended(removed)

    async def _remove(self, subject: Subject) -> Ended:
        async with self._database.writing() as connection:
            touched = select(messages.c.session_id).where(_said(subject)).distinct()
            shared = [name for (name,) in await connection.execute(touched)]
            said = await connection.execute(delete(messages).where(_said(subject)))
            owned = await connection.execute(delete(sessions).where(_owned(subject)))
            return Ended(owned.rowcount + await _drop_empty(connection, shared), said.rowcount)

    async def _ended(self, steps: list[Ended]) -> Ended:
        ended = Ended(sum(step.sessions for step in steps), sum(step.messages for step in steps))
        if self._database.is_sqlite and ended != Ended(0, 0):
            await self._scrub()
        return ended

    async def _scrub(self) -> None:
        """Let go of the words of erased messages, which SQLite's full-text index keeps until it is merged."""
        async with self._database.writing() as connection:
            await connection.execute(text(f"INSERT INTO {WORDS_INDEX}({WORDS_INDEX}) VALUES ('optimize')"))  # noqa: S608 - a constant

    async def ping(self) -> None:
        """See `conversations.Transcript.ping`."""
        async with self._database.reading() as connection:
            await connection.execute(select(sessions.c.id).limit(1))


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
