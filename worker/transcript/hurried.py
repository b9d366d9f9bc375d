"""Reading that nobody may wait for: by connections of its own, broken off at once by whoever gives it up.

SQLite's own connections read one after the other in threads, and one that is cancelled reads on: 2.3 s were seen
where 0.3 were allowed. Here the statement itself is interrupted.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Protocol, cast

from sqlalchemy import Compiled, Dialect, Select
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from worker.transcript.failures import ERRORS, translated
from worker.transcript.file import File

Rows = Sequence[tuple[Any, ...]]
AT_ONCE = 4
"""Queries that run: a slow one holds up no other, and what is more would wait for the processor."""
BUSY_MS = 100


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


class _Written:
    """Queries as a driver takes them.

    SQLAlchemy's own cache goes by an engine, and takes longer to find a query than the database to answer it.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._known: dict[Select[Any], Compiled] = {}

    def of(self, query: Select[Any], values: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """Return a query's text, and all of its parameters in their order."""
        written = self._known.get(query)
        if written is None:
            written = self._known[query] = query.compile(dialect=self._dialect)
        given = written.construct_params(values) or {}
        names = getattr(written, "positiontup", None)
        return str(written), {name: given[name] for name in names} if names else given


class HurriedSqlite:
    """A few connections, each in a thread of its own."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._threads = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="hurried")
        self._own = threading.local()
        self._open = set[sqlite3.Connection]()
        self._written = _Written(sqlite.dialect(paramstyle="named"))
        self._running: dict[object, sqlite3.Connection] = {}
        self._guard = threading.Lock()
        """So that no other query is interrupted than the one that is meant."""

    async def rows(self, query: Select[Any], **values: Any) -> Rows:
        """See `Hurried.rows`."""
        statement, given = self._written.of(query, values)
        ticket = object()
        begun: Future[Rows] = self._threads.submit(self._read, statement, given, ticket)
        try:
            return await asyncio.wrap_future(begun)
        except asyncio.CancelledError:
            self._interrupt(ticket)
            raise
        except (*ERRORS, sqlite3.Error) as exc:
            raise translated(exc) from exc

    def _interrupt(self, ticket: object) -> None:
        with self._guard:
            if ticket in self._running:
                self._running[ticket].interrupt()

    def _read(self, statement: str, values: Mapping[str, Any], ticket: object) -> Rows:
        connection = self._opened()
        with self._guard:
            self._running[ticket] = connection
        try:
            return connection.execute(statement, values).fetchall()
        except sqlite3.Error:
            self._hang_up(connection)  # what is wrong with it may be over with another one
            raise
        finally:
            with self._guard:
                del self._running[ticket]

    def _opened(self) -> sqlite3.Connection:
        """Return the connection of this thread."""
        self._file.check()
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            address = self._file.address(reads_only=True)
            connection = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
            connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            self._own.connection = connection
            with self._guard:
                self._open.add(connection)
        return connection

    def _hang_up(self, connection: sqlite3.Connection) -> None:
        self._own.connection = None
        with self._guard:
            self._open.discard(connection)
        with suppress(sqlite3.Error):
            connection.close()

    async def close(self) -> None:
        """See `Hurried.close`."""
        with self._guard:
            for connection in self._running.values():
                connection.interrupt()
        await asyncio.to_thread(self._threads.shutdown)
        for connection in self._open:
            with suppress(sqlite3.Error):
                connection.close()


class HurriedPostgresql:
    """A few connections of its own. SQLAlchemy opens them, and the driver is asked: it takes half as long by itself."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._places = asyncio.Semaphore(AT_ONCE)
        self._free: list[tuple[AsyncConnection, Any]] = []
        self._leaving = set[asyncio.Task[None]]()
        self._is_over = False
        self._written = _Written(engine.dialect)
        # As SQLAlchemy has loaded it: where the transcript is a file nobody pays for it.
        driver = cast("Any", engine.dialect.loaded_dbapi).asyncpg
        self._errors: tuple[type[Exception], ...] = (*ERRORS, driver.PostgresError, driver.InterfaceError)

    async def rows(self, query: Select[Any], **values: Any) -> Rows:
        """See `Hurried.rows`."""
        statement, given = self._written.of(query, values)
        try:
            async with self._places:
                return await self._read(statement, given)
        except self._errors as exc:
            raise translated(exc) from exc

    async def _read(self, statement: str, values: Mapping[str, Any]) -> Rows:
        while True:
            is_new = not self._free
            connection, driver = await self._opened() if is_new else self._free.pop()
            try:
                rows: Rows = await driver.fetch(statement, *values.values())
            except BaseException as exc:
                self._leave(connection)
                # A server that was restarted costs nobody an error.
                if is_new or not driver.is_closed() or not isinstance(exc, Exception):
                    raise
            else:
                if self._is_over:
                    self._leave(connection)
                else:
                    self._free.append((connection, driver))
                return rows

    async def _opened(self) -> tuple[AsyncConnection, Any]:
        connection = await self._engine.connect()
        return connection, (await connection.get_raw_connection()).driver_connection

    def _leave(self, connection: AsyncConnection) -> None:
        """Hang up beside: the driver first has the server give up what it was asked, and waits for its word."""
        leaving = asyncio.create_task(self._hang_up(connection), name="hang up")
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def _hang_up(self, connection: AsyncConnection) -> None:
        with suppress(*ERRORS):
            await connection.invalidate()
            await connection.close()

    async def close(self) -> None:
        """See `Hurried.close`."""
        self._is_over = True
        while self._free:
            self._leave(self._free.pop()[0])
        await asyncio.gather(*self._leaving, return_exceptions=True)
        await self._engine.dispose()
