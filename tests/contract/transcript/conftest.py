"""The transcript on both databases, for real."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest

from tests.servers.postgresql import PostgreSQL
from worker.demo.processes import HOST
from worker.transcript import Database, SqlTranscriptReader, SqlTranscriptWriter, open_database


@dataclass(frozen=True, slots=True)
class Place:
    """An empty database, and a way to it that is not ours: `sql` returns the rows, values parted by `|`."""

    url: str
    sql: Callable[[str], str]

    @property
    def is_sqlite(self) -> bool:
        return self.url.startswith("sqlite")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    with PostgreSQL() as server:
        yield server


def sqlite_place(file: Path) -> Place:
    def sql(statements: str) -> str:
        connection = sqlite3.connect(file, isolation_level=None)
        try:
            rows = connection.execute(statements).fetchall()
        finally:
            connection.close()
        return "\n".join("|".join(map(str, row)) for row in rows)

    return Place(f"sqlite:///{file}", sql)


def postgresql_place(server: PostgreSQL) -> Place:
    server.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")  # at a tenth of a new database's price
    return Place(f"postgresql://{server.user}:{server.password}@{HOST}:{server.port}/postgres", server.sql)


@pytest.fixture(scope="session")
def empty_tables(postgresql: PostgreSQL) -> str:
    """What makes the tables of an empty record in an empty database."""
    url = postgresql_place(postgresql).url

    def make() -> None:
        with asyncio.Runner() as runner:
            runner.run(made(url))

    # A test's loop may be running here.
    thread = Thread(target=make)
    thread.start()
    thread.join()
    found = postgresql.dump()
    postgresql_place(postgresql)
    return found


async def made(url: str) -> None:
    async with open_database(url) as database:
        await SqlTranscriptWriter(database).ping()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        return sqlite_place(tmp_path / "record.db")
    return postgresql_place(request.getfixturevalue("postgresql"))


@pytest.fixture
async def database(
    place: Place, request: pytest.FixtureRequest, tmp_path: Path, empty_record: Path
) -> AsyncIterator[Database]:
    """A record that nobody has written to. Its tables are copied: to make them takes longer than most tests."""
    if place.is_sqlite:
        shutil.copy(empty_record, tmp_path / "record.db")
    else:
        place.sql(request.getfixturevalue("empty_tables"))
    async with open_database(place.url) as database:
        yield database


@pytest.fixture
def transcript(database: Database) -> SqlTranscriptWriter:
    return SqlTranscriptWriter(database)


@pytest.fixture
def conversations(database: Database) -> SqlTranscriptReader:
    return SqlTranscriptReader(database)
