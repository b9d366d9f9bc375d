"""What legal holds keep in SQL, and how erasing and holding keep out of each other's way."""

from collections.abc import Collection

from sqlalchemy import ColumnElement, exists, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from worker.transcript.database import Database
from worker.transcript.tables import decisions, held_messages, messages, sessions

HOLDING = 7_214_160_903_551_418
"""PostgreSQL's name for the right to set and lift holds: any number that nobody else uses there."""

IS_HELD = exists().where(held_messages.c.message_id == messages.c.id)
"""Of a message: a record on hold cites it."""
HAS_HELD = exists().where(messages.c.session_id == sessions.c.id, held_messages.c.message_id == messages.c.id)
"""Of a session: it has such a message."""
ON_HOLD = decisions.c.held_at.is_not(None)
"""Of a record."""


async def settle(connection: AsyncConnection, database: Database) -> None:
    """Let no hold be set or lifted before this transaction is over, so that all of it sees the same holds.

    The first statement of a transaction that erases. SQLite has one writer at a time anyhow.
    """
    if not database.is_sqlite:
        await connection.execute(text("SELECT pg_advisory_xact_lock_shared(:name)"), {"name": HOLDING})


async def hold_off(connection: AsyncConnection, database: Database) -> None:
    """Wait for all who erase, and let nobody begin before this transaction is over: the first of one that holds."""
    if not database.is_sqlite:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:name)"), {"name": HOLDING})


async def count_held(connection: AsyncConnection, said: ColumnElement[bool]) -> int:
    """Count which of these messages a hold keeps."""
    found = await connection.execute(select(messages.c.id).where(said, IS_HELD))
    return len(found.all())


async def held_tasks(connection: AsyncConnection) -> set[str]:
    """Name the tasks, and asks, whose messages a hold keeps."""
    cited = select(messages.c.task_id).join(held_messages, held_messages.c.message_id == messages.c.id)
    return set((await connection.execute(cited)).scalars())


async def held_sessions(connection: AsyncConnection, names: Collection[str]) -> frozenset[str]:
    """Tell which of these sessions have messages that a hold keeps."""
    cited = select(messages.c.session_id).join(held_messages, held_messages.c.message_id == messages.c.id)
    found = await connection.execute(cited.where(messages.c.session_id.in_([*names])))
    return frozenset(found.scalars())
