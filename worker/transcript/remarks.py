"""What was said elsewhere, in the transcript's database, among the messages."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from worker.domain.conversations import MOST_ATTACHMENTS, REMARK, REMOVED, Role, micros, owner
from worker.domain.remarks import LARGEST_METADATA, Recorded, Remark, size_of
from worker.errors import AskedOtherwise, Unstorable
from worker.runtime.beside import beside_if
from worker.transcript.database import Database
from worker.transcript.rows import LONG, Values, checked, new_session
from worker.transcript.tables import messages, sessions
from worker.transcript.words import clean, clean_all, words
from worker.transcript.writing import forget, numbered

_ATTACHMENTS, _BY = "attachments", "by"


class SqlRemarks:
    """Implements `ports.remarks.RemarkBook`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, remark: Remark) -> Recorded | None:
        """See `ports.remarks.RemarkBook.record`."""
        session, message = _session_row(remark), _message_row(remark)
        message["words"] = await beside_if(len(remark.text) > LONG, words, message["content"])
        row = await self._database.write(partial(self._record, session, message))
        if row is None:
            return None
        kept = _recorded(row)
        if (kept.text, kept.role) != (message["content"], remark.role):
            raise AskedOtherwise("a message with another text or role came before under this id")
        return kept

    async def _record(self, session: Values, message: Values, connection: AsyncConnection) -> RowMapping | None:
        insert = self._database.insert
        await connection.execute(insert(sessions).on_conflict_do_nothing(), session)
        # Its lock keeps others of this session waiting, as whenever a message gets its number.
        own = select(sessions).where(sessions.c.id == session["id"]).with_for_update()
        known = (await connection.execute(own)).mappings().one()
        there = select(messages).where(messages.c.id == message["id"])
        found = (await connection.execute(there)).mappings().one_or_none()
        if known["anonymised_at"] is not None or (found is not None and found["content"] == REMOVED):
            return None
        if found is not None:
            return found
        await self._insert(message, connection)
        if message["created_at"] > known["last_at"]:
            later = update(sessions).where(sessions.c.id == session["id"])
            await connection.execute(later.values(last_at=message["created_at"]))
        return (await connection.execute(there)).mappings().one()

    async def remark(self, remark_id: str) -> Recorded | None:
        """See `ports.remarks.RemarkBook.remark`."""
        async with self._database.reading() as connection:
            found = await connection.execute(select(messages).where(_is(remark_id)))
            row = found.mappings().one_or_none()
        return _recorded(row) if row is not None and REMARK in row["metadata"] else None

    async def add(self, remark_id: str, attachments: Sequence[str], metadata: Mapping[str, Any]) -> Recorded | None:
        """See `ports.remarks.RemarkBook.add`."""

        async def work(connection: AsyncConnection) -> Recorded | None:
            row = await _held(remark_id, connection)
            if row is None or REMARK not in row["metadata"]:
                return None
            kept = _recorded(row)
            links = dict.fromkeys([*kept.attachments, *clean_all(attachments)])
            changed = {**row, **_attached([*links], {**kept.metadata, **clean_all(metadata)}, kept.person_id)}
            if changed != dict(row):
                # Written anew it gets a number behind all others: by that who follows the record sees it again.
                await connection.execute(delete(messages).where(_is(remark_id)))
                await self._insert({name: changed[name] for name in changed if name != "number"}, connection)
            return _recorded(changed)

        return await self._database.write(work)

    async def _insert(self, message: Values, connection: AsyncConnection) -> None:
        """Write a message whose session is locked."""
        [row] = await numbered([message], connection) if self._database.is_sqlite else [message]
        await connection.execute(self._database.insert(messages), row)

    async def take_back(self, remark_id: str) -> None:
        """See `ports.remarks.RemarkBook.take_back`."""

        async def work(connection: AsyncConnection) -> None:
            await _held(remark_id, connection)
            gone = delete(messages).where(_is(remark_id)).returning(messages.c.session_id)
            names = (await connection.execute(gone)).scalars().all()
            left = exists().where(messages.c.session_id == sessions.c.id)
            await connection.execute(delete(sessions).where(sessions.c.id.in_(names), ~left))

        await self._database.write(work)
        await forget(self._database)


def _is(remark_id: str) -> ColumnElement[bool]:
    return (messages.c.id == clean(remark_id)) & messages.c.is_between & (messages.c.content != REMOVED)


async def _held(remark_id: str, connection: AsyncConnection) -> RowMapping | None:
    """Lock the session of a remark, as whenever a message there gets its number, and read it as it is then.

    So nothing is added by two at once and lost, or to words that are just being taken.
    """
    of = select(messages.c.session_id).where(_is(remark_id))
    await connection.execute(select(sessions.c.id).where(sessions.c.id.in_(of)).with_for_update())
    own = select(messages).where(_is(remark_id)).with_for_update()
    return (await connection.execute(own)).mappings().one_or_none()


def _session_row(remark: Remark) -> Values:
    """Write the session that it is recorded in, as it is if nothing else was said there."""
    key = remark.about.branch
    subject = owner(key, remark.instance)
    return new_session(
        key,
        started_at=remark.said_at,
        last_at=remark.said_at,
        process_instance_id=subject.instance if subject else None,
        definition_key=remark.definition_key,
        definition_version=remark.definition_version,
        business_key=remark.business_key,
    )


def _message_row(remark: Remark) -> Values:
    """Write the message. It has no thread: at no provider is anything of it."""
    row: Values = dict.fromkeys(name for name in messages.columns.keys() if name != "number")  # noqa: SIM118 - of columns
    return checked(
        messages,
        row
        | {
            "id": remark.id,
            "session_id": remark.session_id,
            "position": micros(remark.said_at),
            "role": str(remark.role),
            "content": remark.text,
            "words": "",
            "process_instance_id": remark.instance,
            "definition_id": remark.definition_id,
            "task_id": remark.id,
            "activity_id": "",
            "activity_name": "",
            "attempt": 1,
            "created_at": remark.said_at,
            "is_between": True,
            "user_id": remark.person.name,
            **_attached(remark.attachments, remark.metadata, remark.person.id),
        },
    )


def _attached(attachments: Sequence[str], metadata: Mapping[str, Any], by: str) -> Values:
    """Write links and metadata. Raises Unstorable where they are too many, or too large."""
    if len(attachments) > MOST_ATTACHMENTS:
        raise Unstorable(f"more than {MOST_ATTACHMENTS} attachments")
    if size_of(metadata) > LARGEST_METADATA:
        raise Unstorable(f"metadata of more than {LARGEST_METADATA} characters")
    links = {_ATTACHMENTS: [*attachments]} if attachments else {}
    return {
        "attachment_url": attachments[0] if attachments else None,
        "metadata": {REMARK: dict(metadata), _BY: by, **links},
    }


def _recorded(row: RowMapping | Mapping[str, Any]) -> Recorded:
    said = row["metadata"]
    created_at: datetime = row["created_at"]
    return Recorded(
        id=row["id"],
        session_id=row["session_id"],
        role=Role(row["role"]),
        text=row["content"],
        person=row["user_id"],
        person_id=said.get(_BY, ""),
        attachments=said.get(_ATTACHMENTS, []),
        metadata=said.get(REMARK, {}),
        created_at=created_at,
    )
