"""The transcript's writing side."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Table,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from worker.domain.conversations import REMOVED, Ended, Subject, session_id
from worker.domain.exchanges import TRANSCRIPT, Exchange
from worker.domain.threads import SHARED_SCOPE
from worker.runtime.beside import beside_if
from worker.transcript.conditions import of_person, seen
from worker.transcript.database import Database
from worker.transcript.holds import HAS_HELD, IS_HELD, count_held, held_sessions, settle
from worker.transcript.memos import memo_row, note
from worker.transcript.rows import Values, ending, is_long, merged, message_rows, session_row
from worker.transcript.tables import FACTS_INDEX, LAST_NUMBER, WORDS_INDEX, feedback, messages, sessions, visits
from worker.transcript.words import clean


def _nobody(of: Table) -> ColumnElement[Any]:
    return case((of.c.user_id.is_not(None), REMOVED))


WORDLESS: Values = {"content": REMOVED, "words": "", "attachment_url": None, "user_id": _nobody(messages)}
"""What becomes of a message whose words are taken."""
UNSIGNED: Values = {"person": REMOVED, "person_id": None, "note": case((feedback.c.note != "", REMOVED), else_="")}
"""What becomes of what a person has said of an answer, whose rating stays."""


class _Statements:
    """What `record` says, built once: that costs more than saying it."""

    def __init__(self, insert: Callable[[Table], sqlite.Insert | postgresql.Insert]) -> None:
        those = sessions.c.id.in_(bindparam("sessions", expanding=True))
        self.add_sessions = insert(sessions).on_conflict_do_nothing()
        # In one order, so that two that write the same ones wait for each other in that order too.
        self.lock_sessions = select(sessions).where(those).order_by(sessions.c.id).with_for_update()
        self.add_messages = insert(messages).on_conflict_do_nothing().returning(messages.c.id)
        self.change_session = update(sessions).where(sessions.c.id == bindparam("session"))


_SQLITE = _Statements(sqlite.insert)
_POSTGRESQL = _Statements(postgresql.insert)


class _Written(NamedTuple):
    """The rows of one exchange."""

    session: Values
    messages: list[Values]
    is_talk: bool
    memo: tuple[Exchange, Values] | None = None


def _memo(exchange: Exchange) -> tuple[Exchange, Values] | None:
    row = memo_row(exchange)
    return None if row is None else (exchange, row)


class SqlTranscriptWriter:
    """Implements `ports.transcript.TranscriptWriter`."""

    name = TRANSCRIPT

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, *exchanges: Exchange) -> None:
        """See `ports.transcript.TranscriptWriter.record`."""
        written = [
            _Written(session_row(each), await beside_if(is_long(each), message_rows, each), each.is_talk, _memo(each))
            for each in sorted(exchanges, key=lambda each: session_id(each.key))
        ]
        if not await self._database.write(partial(self._record, written)) and len(written) > 1:
            # Undone for one message that is there already: alone each writes what is new of it, or nothing.
            for each in sorted(written, key=lambda each: each.session["last_at"]):
                await self._database.write(partial(self._record, [each]))

    async def _record(self, written: Sequence["_Written"], connection: AsyncConnection) -> bool:
        """Write all of it; nothing, and False, if one message is there already, perhaps in another session."""
        statements = _SQLITE if self._database.is_sqlite else _POSTGRESQL
        # Of several exchanges of one session the first one: the others change it below, as they would one by one.
        new = {each.session["id"]: each.session for each in reversed(written)}
        known: dict[str, Values] = {}
        while len(known) < len(new):  # one may be removed in between
            await connection.execute(statements.add_sessions, [*reversed(new.values())])
            # The lock keeps others of these sessions waiting until all is written: so within a session who comes later
            # has the higher numbers, and a reader that has seen one has seen all below it.
            found = await connection.execute(statements.lock_sessions, {"sessions": [*new]})
            known = {each["id"]: dict(each) for each in found.mappings()}
        said = [row for each in written for row in each.messages]
        if self._database.is_sqlite:
            said = await numbered(said, connection)
        if len((await connection.execute(statements.add_messages, said)).all()) < len(said):
            # Also the sessions that it has added: without its messages one of them would be empty.
            await connection.rollback()
            return False
        changed: dict[str, Values] = {}
        if memos := [each.memo for each in written if each.memo is not None]:
            await note(memos, self._database, connection)
        for session, _, is_talk, _ in written:
            if changes := merged(known[session["id"]], session, is_talk=is_talk):
                known[session["id"]] |= changes
                changed[session["id"]] = changed.get(session["id"], {}) | changes
        for name, changes in changed.items():
            await connection.execute(statements.change_session, {"session": name, **changes})
        return True

    async def end(self, sessions: Collection[str], ended_at: datetime) -> None:
        """See `ports.transcript.TranscriptWriter.end`."""
        await self._database.write(partial(_end, sessions, ended_at))

    async def note_erased(self, sessions: Collection[str], at: datetime) -> None:
        """See `ports.transcript.TranscriptWriter.note_erased`."""
        await self._database.write(partial(_note_erased, sessions, at))

    async def anonymise(self, sessions: Collection[str], at: datetime) -> Ended:
        """See `ports.transcript.TranscriptWriter.anonymise`."""
        return await self._without(partial(_anonymise, sessions, at))

    async def drop(self, sessions: Collection[str]) -> Ended:
        """See `ports.transcript.TranscriptWriter.drop`."""
        return await self._without(partial(_drop, sessions))

    async def held(self, sessions: Collection[str]) -> Collection[str]:
        """See `ports.transcript.TranscriptWriter.held`."""
        async with self._database.reading() as connection:
            return await held_sessions(connection, sessions)

    async def remove(self, subjects: Sequence[Subject]) -> Ended:
        """See `ports.transcript.TranscriptWriter.remove`."""
        return await self._without(*(partial(_remove, subject) for subject in subjects))

    async def _without(self, *steps: Callable[[AsyncConnection], Awaitable[Ended]]) -> Ended:
        """Take one step after the other, each in its own transaction, and leave no words behind."""

        def settled(
            step: Callable[[AsyncConnection], Awaitable[Ended]],
        ) -> Callable[[AsyncConnection], Awaitable[Ended]]:
            async def work(connection: AsyncConnection) -> Ended:
                await settle(connection, self._database)
                return await step(connection)

            return work

        done = [await self._database.write(settled(step)) for step in steps]
        ended = Ended(*(sum(getattr(each, name) for each in done) for name in Ended.__slots__))
        if ended != Ended(0, 0, held=ended.held):
            await forget(self._database)
        return ended

    async def ping(self) -> None:
        """See `ports.transcript.TranscriptWriter.ping`."""
        async with self._database.reading() as connection:
            await connection.execute(select(sessions.c.id).limit(1))


_HIGHEST = text(f"SELECT max(coalesce((SELECT max(number) FROM messages), 0), number) FROM {LAST_NUMBER}")  # noqa: S608 - a constant


async def numbered(said: Sequence[Values], connection: AsyncConnection) -> list[Values]:
    """Number messages behind all that ever were there. By itself SQLite counts on from what is left."""
    highest = (await connection.execute(_HIGHEST)).scalar_one()
    return [{**row, "number": number} for number, row in enumerate(said, highest + 1)]


def _over(names: Collection[str]) -> ColumnElement[bool]:
    # One that goes on again since it was named is left alone.
    return sessions.c.id.in_([*names]) & ~sessions.c.is_active


async def _end(names: Collection[str], ended_at: datetime, connection: AsyncConnection) -> None:
    own = sessions.c.id.in_([*names]) & sessions.c.is_active
    found = (await connection.execute(select(sessions.c.id, sessions.c.started_at).where(own).with_for_update())).all()
    for name, started_at in found:
        over = ending(started_at, ended_at)
        await connection.execute(update(sessions).where(sessions.c.id == name).values(over))


async def _note_erased(names: Collection[str], at: datetime, connection: AsyncConnection) -> None:
    await connection.execute(update(sessions).where(_over(names)).values(thread_erased_at=at))


async def _anonymise(names: Collection[str], at: datetime, connection: AsyncConnection) -> Ended:
    changed = {"user_id": _nobody(sessions), "anonymised_at": at}
    due = _over(names) & sessions.c.anonymised_at.is_(None)
    # One that a hold keeps something of is not done: it comes again, and then is.
    kept = (await connection.execute(select(sessions.c.id).where(due, HAS_HELD))).scalars().all()
    own = update(sessions).where(due, ~HAS_HELD).values(changed)
    found = (await connection.execute(own.returning(sessions.c.id))).scalars().all()
    there = messages.c.session_id.in_([*found, *kept])
    said = there & (messages.c.content != REMOVED) & ~IS_HELD
    # Of what stands between question and answer only a remark has any: what a client says of it.
    metadata = case((messages.c.is_between, literal({}, messages.c.metadata.type)), else_=messages.c.metadata)
    blank = WORDLESS | {"metadata": metadata}
    contents = await connection.execute(update(messages).where(said).values(blank))
    await connection.execute(update(messages).where(_left_remarks()).values(blank))
    # Also where an older worker, which knows no feedback, has taken the words of an answer.
    wordless = exists().where(messages.c.id == feedback.c.message_id, messages.c.content == REMOVED)
    told = update(feedback).where(feedback.c.person_id.is_not(None), wordless).values(UNSIGNED)
    ratings = await connection.execute(told)
    # And where one has that knows no visits.
    nameless = select(sessions.c.id).where(sessions.c.anonymised_at.is_not(None))
    visited = visits.c.person_id.is_not(None) & visits.c.session_id.in_(nameless)
    await connection.execute(update(visits).where(visited).values(person=REMOVED, person_id=None))
    return Ended(len(found), contents.rowcount, ratings.rowcount, await count_held(connection, there))


def _left_remarks() -> ColumnElement[bool]:
    """Find remarks whose text an older worker has taken, which does not know what else a client says there."""
    talk = select(sessions.c.id).where(sessions.c.kind == "chat", sessions.c.anonymised_at.is_not(None))
    wordless = messages.c.is_between & (messages.c.content == REMOVED)
    return messages.c.session_id.in_(talk) & wordless & (messages.c.metadata != literal({}, messages.c.metadata.type))


async def _drop(names: Collection[str], connection: AsyncConnection) -> Ended:
    # The rows are locked first: an answer that comes now finds its session active again, or gone with what was said.
    locked = select(sessions.c.id).where(_over(names)).with_for_update()
    found = (await connection.execute(locked)).scalars().all()
    there = messages.c.session_id.in_(found)
    said, ratings = await _delete(there, connection)
    owned = await connection.execute(delete(sessions).where(sessions.c.id.in_(found), ~HAS_HELD))
    return Ended(owned.rowcount, said, ratings, await count_held(connection, there))


async def _delete(said: ColumnElement[bool], connection: AsyncConnection) -> tuple[int, int]:
    """Delete messages that no hold keeps, with which goes what people say of them; how many of both."""
    said &= ~IS_HELD
    theirs = select(func.count()).select_from(feedback).join(messages).where(said)
    ratings = (await connection.execute(theirs)).scalar_one()
    return (await connection.execute(delete(messages).where(said))).rowcount, ratings


async def take_cited(subject: Subject, names: Collection[str], connection: AsyncConnection) -> int:
    """Delete those of these messages that end with a subject; how many. Sessions of its own go with their rest."""
    said = _said(subject) & messages.c.id.in_(names)
    touched = (await connection.execute(select(messages.c.session_id).where(said).distinct())).scalars().all()
    gone, _ = await _delete(said, connection)
    others = select(sessions.c.id).where(sessions.c.id.in_(touched), ~owned(subject))
    await _drop_empty(connection, [*(await connection.execute(others)).scalars()])
    return gone


async def _remove(subject: Subject, connection: AsyncConnection) -> Ended:
    touched = select(messages.c.session_id).where(_said(subject)).distinct()
    # Before its messages are gone, which alone tell in whose sessions it spoke.
    shared = [name for (name,) in await connection.execute(touched)]
    said, ratings = await _delete(_said(subject), connection)
    own = await connection.execute(delete(sessions).where(owned(subject), ~HAS_HELD))
    dropped = own.rowcount + await _drop_empty(connection, shared)
    return Ended(dropped, said, ratings, await count_held(connection, _said(subject)))


async def forget(database: Database) -> None:
    """Leave nothing of words that were erased: SQLite has them in its full-text index, and in its log of writes."""
    if database.is_sqlite:
        await database.write(_scrub)
        await database.empty_log()


async def _scrub(connection: AsyncConnection) -> None:
    """Let go of the words of what was erased, which SQLite's full-text indexes keep until they are merged."""
    for index in (WORDS_INDEX, FACTS_INDEX):
        await connection.execute(text(f"INSERT INTO {index}({index}) VALUES ('optimize')"))  # noqa: S608 - a constant


def owned(subject: Subject) -> ColumnElement[bool]:
    """Find the sessions that end with a subject."""
    own = sessions.c.engine == clean(subject.engine)
    if subject.instance is not None:
        own &= sessions.c.process_instance_id == clean(subject.instance)
    elif subject.person is not None:
        own &= of_person(sessions.c.scope, subject)
    else:
        key = clean(str(subject.business_key))
        own &= or_(sessions.c.business_key == key, sessions.c.scope == SHARED_SCOPE + key)
    return and_(own, *seen(subject.limits))


def _said(subject: Subject) -> ColumnElement[bool]:
    """Find the messages that end with a subject."""
    own = messages.c.session_id.in_(select(sessions.c.id).where(owned(subject)))
    if subject.instance is None:
        return own
    elsewhere = select(sessions.c.id).where(sessions.c.engine == clean(subject.engine), *seen(subject.limits))
    shared = messages.c.session_id.in_(elsewhere) & (messages.c.process_instance_id == clean(subject.instance))
    return or_(own, shared)


async def _drop_empty(connection: AsyncConnection, names: list[Any]) -> int:
    left = exists().where(messages.c.session_id == sessions.c.id)
    dropped = 0
    for name in names:
        done = await connection.execute(delete(sessions).where(sessions.c.id == name, ~left))
        dropped += done.rowcount
    return dropped
