"""Reading that nobody may wait for: by a connection of its own, broken off at once by whoever gives it up.

SQLite's own connections read one after the other in threads, and one that is cancelled reads on: 2.3 s were seen
where 0.3 were allowed. Here the statement itself is interrupted.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Protocol

from sqlalchemy import Compiled, Select
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncEngine

from worker.transcript.failures import ERRORS, translated
from worker.transcript.file import File

Rows = Sequence[tuple[Any, ...]]
BUSY_MS = 100
_DIALECT = sqlite.dialect(paramstyle="named")


class Hurried(Protocol):
    """Reads rows. Raises TranscriptDown; a cancelled one reads no further."""

    async def rows(self, query: Select[Any], **values: Any) -> Rows:
        """Return what a query finds, with values for its parameters.

        A query is written out once and kept: it is to be one that there is only one of.
        """
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


class HurriedSqlite:
    """One connection in one thread of its own."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hurried")
        self._connection: sqlite3.Connection | None = None
        self._written: dict[Select[Any], Compiled] = {}
        self._running: object = None
        self._guard = threading.Lock()
        """So that no other query is interrupted than the one that is meant."""

    async def rows(self, query: Select[Any], **values: Any) -> Rows:
        """See `Hurried.rows`."""
        # Not by SQLAlchemy's own cache, which goes by an engine: to write a query out takes longer than to read by it.
        written = self._written.get(query)
        if written is None:
            written = self._written[query] = query.compile(dialect=_DIALECT)
        ticket = object()
        begun: Future[Rows] = self._thread.submit(
            self._read, str(written), written.construct_params(values) or {}, ticket
        )
        try:
            return await asyncio.wrap_future(begun)
        except asyncio.CancelledError:
            self._interrupt(ticket)
            raise
        except (*ERRORS, sqlite3.Error) as exc:
            raise translated(exc) from exc

    def _interrupt(self, ticket: object) -> None:
        with self._guard:
            if self._running is ticket and self._connection is not None:
                self._connection.interrupt()

    def _read(self, statement: str, values: Mapping[str, Any], ticket: object) -> Rows:
        with self._guard:
            self._running = ticket
        try:
            return self._opened().execute(statement, values).fetchall()
        except sqlite3.Error:
            self._hang_up()  # what is wrong with it may be over with another one
            raise
        finally:
            with self._guard:
                self._running = None

    def _opened(self) -> sqlite3.Connection:
        self._file.check()
        if self._connection is None:
            address = self._file.address(reads_only=True)
            connection = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
            connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            with self._guard:
                self._connection = connection
        return self._connection

    def _hang_up(self) -> None:
        with self._guard:
            connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    async def close(self) -> None:
        """See `Hurried.close`."""
        with self._guard:
            if self._connection is not None:
                self._connection.interrupt()
        self._thread.submit(self._hang_up)
        await asyncio.to_thread(self._thread.shutdown)


class HurriedPostgresql:
    """A few connections of its own, whose statements the server ends in time."""

    def __init__(self, engine: AsyncEngine) -> None:
        # A transaction around one statement that reads costs two more ways to the server and back.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def rows(self, query: Select[Any], **values: Any) -> Rows:
        """See `Hurried.rows`."""
        try:
            async with self._engine.connect() as connection:
                return [tuple(row) for row in (await connection.execute(query, values)).all()]
        except ERRORS as exc:
            raise translated(exc) from exc

    async def close(self) -> None:
        """See `Hurried.close`."""
        await self._engine.dispose()
