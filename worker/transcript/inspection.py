"""What a person wants to know of the transcript's database: version of its tables, size, format, clock. Only reads."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from worker.runtime.clock import ahead
from worker.transcript import migrating
from worker.transcript.database import Database, open_database
from worker.transcript.tables import VERSION_TABLE, formats, metadata


@dataclass(frozen=True, slots=True)
class TranscriptInfo:
    """`tables` is the version of the tables, `newest` the one that this worker makes, `format` what is noted.

    `size` is in bytes, indexes included. `clock_ahead` is the server's clock minus ours; None for a file.
    """

    tables: str
    newest: str
    format: int | None
    size: int
    clock_ahead: timedelta | None


class TranscriptInspection:
    """A look at one engine's transcript from outside. Make it by `open`."""

    def __init__(self, database: Database, engine: str) -> None:
        self._database = database
        self._engine = engine

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, engine: str) -> AsyncIterator[Self]:
        """Prepare the connection; nothing is reached yet. Raises Permanent for an address that cannot be one."""
        async with open_database(url, reads_only=True) as database:
            yield cls(database, engine)

    async def info(self) -> TranscriptInfo:
        """Ask the database. Raises NoTranscript, TranscriptDown."""
        async with self._database.reading() as connection:
            tables = (await connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}"))).scalar_one()  # noqa: S608 - a name of ours
            noted = await connection.execute(select(formats.c.number).where(formats.c.engine == self._engine))
            sqlite = self._database.is_sqlite
            return TranscriptInfo(
                tables=str(tables),
                newest=migrating.newest(),
                format=noted.scalar_one_or_none(),
                size=await (_size_of_file if sqlite else _size_of_tables)(connection),
                clock_ahead=None if sqlite else await _clock_ahead(connection),
            )


async def _size_of_file(connection: AsyncConnection) -> int:
    pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one()
    return int(pages) * int((await connection.exec_driver_sql("PRAGMA page_size")).scalar_one())


async def _size_of_tables(connection: AsyncConnection) -> int:
    # A table that is not there, as in an older version, is NULL to `to_regclass`.
    names = [func.coalesce(func.pg_total_relation_size(func.to_regclass(name)), 0) for name in metadata.tables]
    return sum((await connection.execute(select(*names))).one())


async def _clock_ahead(connection: AsyncConnection) -> timedelta:
    asked_at = datetime.now(UTC)
    told: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    return ahead(told, asked_at)
