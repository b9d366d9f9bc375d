"""One database: reached when it is first used, brought up to date then, and closed at the end."""

import asyncio
import re
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

import structlog
from sqlalchemy import URL, Connection, Table, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from worker.errors import Permanent, TranscriptDown, Unstorable
from worker.runtime.readers import Readers
from worker.telemetry.logs import Event
from worker.transcript import migrating
from worker.transcript.failures import ERRORS, is_damage, translated
from worker.transcript.file import SAVE, File
from worker.transcript.hurried import Hurried, HurriedPostgresql, HurriedSqlite

T = TypeVar("T")

MIGRATING = 7_214_160_903_551_417
"""PostgreSQL's name for our right to migrate: any number that nobody else uses there."""
BUSY_MS = 5000
"""How long SQLite waits for another process that writes; writers of this one wait for `_turn`."""
CONNECT_SECONDS = 5
COMMAND_SECONDS = 30
"""The longest that PostgreSQL may take for one command, but for migrations."""
HURRIED_SECONDS = 1
"""The same of what nobody may wait for, who gives it up sooner."""
MIGRATION_SECONDS = 1800
"""An index on many years' messages takes its time."""
CHECK_SECONDS = 10
"""How long a file is looked through for damage before it is used."""

FORMS = "sqlite:///folder/file.db, sqlite:////folder/file.db or postgresql://user:password@host:5432/database"


log = structlog.get_logger()


class Database:
    """Connections to it, for the event loop that opened it. Raises TranscriptDown, Unstorable.

    `file` is SQLite's. One that is damaged is not used any more, even if it looks whole again: connections of ours
    still have what it was. One that `reads_only` takes the tables as they are, and refuses those of other versions.
    """

    def __init__(
        self, engine: AsyncEngine, migrating: AsyncEngine, file: File | None = None, *, reads_only: bool = False
    ) -> None:
        self._engine = engine
        self._migrating = migrating
        self._file = file
        self._reads_only = reads_only
        self._loop = asyncio.get_running_loop()
        self._ready = False
        self._preparation = asyncio.Lock()
        self._damage = ""
        self._closing = threading.Event()
        self._writes = set[asyncio.Task[Any]]()
        # SQLite has one writer; its own waiting is a sleep that may starve one of many.
        self._turn = asyncio.Lock() if file else None
        self._hurried: Hurried | None = None
        self._readers = Readers()

    def hurried(self) -> Hurried:
        """Give what reads beside everything else, for whom nobody waits. It is closed with the database."""
        if self._hurried is None:
            url, limit = self._engine.url, HURRIED_SECONDS
            self._hurried = HurriedSqlite(self._file) if self._file else HurriedPostgresql(_postgresql(url, limit))
        return self._hurried

    def refuse(self, why: str) -> None:
        """Let nothing be read or written any more, until the worker is started anew, and say why."""
        self._damage = why

    @property
    def is_sqlite(self) -> bool:
        """Whether it is the embedded one."""
        return self._file is not None

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """Begin an insert in this database's dialect: only those know what to do on a conflict."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection to read from; not within another one. However many people read, the work has its own."""
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._readers.place())
            except TimeoutError as exc:
                raise TranscriptDown("too much is read at once") from exc
            try:
                await self._prepare()
                async with self._engine.connect() as connection:
                    yield connection
            except ERRORS as exc:
                raise self._meant(exc) from exc

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
        if self._reads_only:
            raise RuntimeError("the transcript was opened to be read")
        try:
            await self._prepare()
            async with self._writer() as connection:
                done = await work(connection)
                await connection.commit()
                return done
        except ERRORS as exc:
            raise self._meant(exc) from exc

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
            raise self._meant(exc) from exc

    async def close(self) -> None:
        """Let what is being written come to its end, and hang up."""
        self._closing.set()
        if self._writes:
            # Before hanging up, which would break them off.
            await asyncio.wait(self._writes)
        if self._hurried is not None:
            await self._hurried.close()
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
            raise RuntimeError("the transcript was opened in another event loop")
        if self._damage:
            raise TranscriptDown(self._damage)
        if self._ready:
            if self._file is not None:
                # Each time: who restores a backup puts another file there, while our connections go on in the old one.
                self._file.check()
            return
        async with self._preparation:
            if not self._ready:
                await self._get_ready()
                self._ready = True

    async def _get_ready(self) -> None:
        if self._reads_only:
            async with self._engine.connect() as connection:
                await connection.run_sync(migrating.check)
            return
        if self._file is not None:
            self._file.make()
            if found := await asyncio.to_thread(self._file.damage, CHECK_SECONDS, self._closing):
                raise self._damaged(self._file, found)
            try:
                await asyncio.to_thread(self._file.keep_log, BUSY_MS / 1000, self._closing)
            except sqlite3.Error as exc:
                raise self._meant(exc) from exc
        await self._migrate()

    async def _migrate(self) -> None:
        """Bring the tables up to date; of many that start at once one does, and the others wait for it."""
        try:
            async with self._migrating.connect() as connection:
                await connection.execution_options(**_WRITES)
                if not self.is_sqlite:
                    await connection.execute(text("SELECT pg_advisory_xact_lock(:name)"), {"name": MIGRATING})
                if not await connection.run_sync(migrating.is_up_to_date):
                    await connection.run_sync(await asyncio.to_thread(migrating.steps))
                await connection.commit()
        finally:
            if self._migrating is not self._engine:
                await self._migrating.dispose()

    def _meant(self, exc: Exception) -> TranscriptDown | Unstorable:
        """Say what an error means, and use a file that is damaged no more."""
        if self._file is not None and is_damage(exc):
            return self._damaged(self._file, type(exc).__name__)
        return translated(exc)

    def _damaged(self, file: File, found: str) -> TranscriptDown:
        if not self._damage:
            self._damage = f"The transcript's file {file.path} is damaged, or none of SQLite at all ({found}). {SAVE}"
            log.error(Event.TRANSCRIPT_DAMAGED, file=str(file.path), found=found, advice=SAVE)
        return TranscriptDown(self._damage)


_WRITES = {"writes": True}


@asynccontextmanager
async def open_database(url: str, *, reads_only: bool = False) -> AsyncIterator[Database]:
    """Open a database by its address; nothing is reached yet. Raises Permanent for an address that cannot be one.

    One that `reads_only` makes and changes nothing, neither file nor folder nor tables.
    """
    parts = _parsed(url)
    if parts.drivername == "sqlite":
        file = File(parts.database or "")
        engine = _sqlite(parts, file, reads_only=reads_only)
        database = Database(engine, engine, file, reads_only=reads_only)
    else:
        engine = _postgresql(parts, COMMAND_SECONDS, reads_only=reads_only)
        # Migrations have an engine of their own: the limit of a command belongs to the connection.
        database = Database(engine, _postgresql(parts, MIGRATION_SECONDS), reads_only=reads_only)
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


_WRITERS_PRAGMAS = (
    "synchronous = FULL",  # a commit that was reported outlives a power cut
    "foreign_keys = ON",
    "secure_delete = ON",  # what is erased is overwritten
)


def _sqlite(parts: URL, file: File, *, reads_only: bool) -> AsyncEngine:
    # Parameters are what was said, and errors would quote them.
    engine = create_async_engine(parts.set(drivername="sqlite+aiosqlite"), hide_parameters=True)

    @event.listens_for(engine.sync_engine, "do_connect")
    def find(_: Any, __: Any, arguments: list[Any], options: dict[str, Any]) -> None:
        file.check()
        arguments[0] = file.address(reads_only=reads_only)
        options["uri"] = True

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver begins no transactions by its own rules
        cursor = connection.cursor()
        for pragma in (f"busy_timeout = {BUSY_MS}", *(() if reads_only else _WRITERS_PRAGMAS)):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that reads first and writes then would fail at once beside another writer.
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(parts: URL, command_seconds: float, *, reads_only: bool = False) -> AsyncEngine:
    session = {"application_name": "assistant-worker"} | ({"default_transaction_read_only": "on"} if reads_only else {})
    return create_async_engine(
        parts.set(drivername="postgresql+asyncpg"),
        hide_parameters=True,
        pool_pre_ping=True,  # a server that was restarted costs nobody an error
        pool_timeout=CONNECT_SECONDS,
        connect_args={
            "timeout": CONNECT_SECONDS,
            "command_timeout": command_seconds,
            "server_settings": session,
        },
    )
