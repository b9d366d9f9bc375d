"""One database: reached when it is first used, brought up to date then, and closed at the end."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, event, make_url, text
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from worker.errors import Permanent
from worker.transcript.failures import ERRORS, translated
from worker.transcript.tables import VERSION_TABLE

T = TypeVar("T")

MIGRATING = 7_214_160_903_551_417
"""PostgreSQL's name for our right to migrate: any number that nobody else uses there."""
BUSY_MS = 5000
CONNECT_SECONDS = 5
COMMAND_SECONDS = 30
MIGRATION_SECONDS = 1800
"""An index on many years' messages takes its time."""

FORMS = "sqlite:///folder/file.db, sqlite:////folder/file.db or postgresql://user:password@host:5432/database"


class Database:
    """Connections to it, for the event loop that opened it. Raises TranscriptDown, Unstorable."""

    def __init__(self, engine: AsyncEngine, migrating: AsyncEngine) -> None:
        self._engine = engine
        self._migrating = migrating
        self._loop = asyncio.get_running_loop()
        self._migrated = False
        self._migration = asyncio.Lock()
        self._writes = set[asyncio.Task[Any]]()
        # SQLite has one writer; its own waiting is a sleep that may starve one of many.
        self._turn = asyncio.Lock() if engine.dialect.name == "sqlite" else None

    @property
    def is_sqlite(self) -> bool:
        """Whether it is the embedded one."""
        return self._engine.dialect.name == "sqlite"

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection to read from."""
        try:
            await self._prepare()
            async with self._engine.connect() as connection:
                yield connection
        except ERRORS as exc:
            raise translated(exc) from exc

    async def write(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Do some work in one transaction, and return when it is on disk; an error undoes it all.

        Whoever is cancelled meanwhile waits for its end. With SQLite that is the end of the work: its driver keeps
        the lock of a transaction that is broken off until the garbage collector finds its cursor.
        """
        writing = asyncio.create_task(self._write(work), name="record write")
        self._writes.add(writing)
        writing.add_done_callback(self._writes.discard)
        try:
            return await asyncio.shield(writing)
        except asyncio.CancelledError:
            if not self.is_sqlite:
                writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            raise

    async def _write(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        try:
            await self._prepare()
            async with self._writer() as connection:
                done = await work(connection)
                await connection.commit()
                return done
        except ERRORS as exc:
            raise translated(exc) from exc

    async def empty_log(self) -> None:
        """Have SQLite move its log of writes into the file: the log still has what they replaced.

        If somebody reads from the log meanwhile, it stays until it is emptied the next time, or at the close.
        """
        try:
            async with self._engine.connect() as connection:
                raw = await connection.get_raw_connection()
                driver: Any = raw.driver_connection
                await driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # not within a transaction
        except ERRORS as exc:
            raise translated(exc) from exc

    async def close(self) -> None:
        """Let what is being written come to its end, and hang up."""
        if self._writes:
            await asyncio.wait(self._writes)
        await self._engine.dispose()

    @asynccontextmanager
    async def _writer(self) -> AsyncIterator[AsyncConnection]:
        async with AsyncExitStack() as stack:
            if self._turn:
                await stack.enter_async_context(self._turn)
            connection = await stack.enter_async_context(self._engine.connect())
            await connection.execution_options(**_WRITES)
            yield connection

    async def _prepare(self) -> None:
        # Connections and locks belong to a loop; used from another one they would hang, or lose what they were given.
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("the record was opened in another event loop")
        if self._migrated:
            return
        async with self._migration:
            if not self._migrated:
                await self._migrate()
                self._migrated = True

    async def _migrate(self) -> None:
        """Bring the tables up to date; of many that start at once one does, and the others wait for it."""
        try:
            async with self._migrating.connect() as connection:
                await connection.execution_options(**_WRITES)
                if not self.is_sqlite:
                    await connection.execute(text("SELECT pg_advisory_xact_lock(:name)"), {"name": MIGRATING})
                await connection.run_sync(_upgrade)
                await connection.commit()
        finally:
            if self._migrating is not self._engine:
                await self._migrating.dispose()


_WRITES = {"writes": True}
_STEPS = ScriptDirectory(str(Path(__file__).with_name("migrations")))


def _upgrade(connection: Connection) -> None:
    # Without Alembic's own environment, whose globals two that start at once in one process would mix up.
    context = MigrationContext.configure(
        connection,
        opts={
            "version_table": VERSION_TABLE,
            "transactional_ddl": True,  # SQLite's too, as its transactions are begun by us
            "fn": lambda revision, _: _STEPS._upgrade_revs("head", revision),  # noqa: SLF001 - as alembic.command does
        },
    )
    context.run_migrations(op=Operations(context))


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    """Open a database by its address; nothing is reached yet. Raises Permanent for an address that cannot be one."""
    parts = _parsed(url)
    if parts.drivername == "sqlite":
        engine = migrating = _sqlite(parts)
    else:
        engine, migrating = _postgresql(parts, COMMAND_SECONDS), _postgresql(parts, MIGRATION_SECONDS)
    database = Database(engine, migrating)
    try:
        yield database
    finally:
        await database.close()


def address(url: str) -> str:
    """Show an address without user, password and options."""
    parts = _parsed(url)
    return f"{parts.drivername}://{parts.host or ''}{f':{parts.port}' if parts.port else ''}/{parts.database}"


def _parsed(url: str) -> URL:
    try:
        parts = make_url(url)
    except (ArgumentError, ValueError):
        parts = None
    if parts is None or not parts.database or not re.fullmatch("sqlite|postgresql", parts.drivername):
        raise Permanent(f"TRANSCRIPT_URL: must look like {FORMS}")
    if parts.drivername == "sqlite" and (parts.query or parts.database == ":memory:"):
        raise Permanent("TRANSCRIPT_URL: must name a file, without options")
    return parts


def _sqlite(parts: URL) -> AsyncEngine:
    engine = create_async_engine(parts.set(drivername="sqlite+aiosqlite"), hide_parameters=True)
    path = Path(parts.database or "")

    @event.listens_for(engine.sync_engine, "do_connect")
    def make_file(*_: Any) -> None:
        # Nobody else reads what was said; SQLite's other files take over these rights.
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver begins no transactions by its own rules
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout = {BUSY_MS}",
            "journal_mode = WAL",
            "synchronous = FULL",  # a commit that was reported outlives a power cut
            "foreign_keys = ON",
            "secure_delete = ON",  # what is erased is overwritten
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that reads first and writes then would fail at once beside another writer.
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(parts: URL, command_seconds: float) -> AsyncEngine:
    return create_async_engine(
        parts.set(drivername="postgresql+asyncpg"),
        hide_parameters=True,
        pool_pre_ping=True,  # a server that was restarted costs nobody an error
        pool_timeout=CONNECT_SECONDS,
        connect_args={
            "timeout": CONNECT_SECONDS,
            "command_timeout": command_seconds,
            "server_settings": {"application_name": "assistant-worker"},
        },
    )
