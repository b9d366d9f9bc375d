"""A database that is away, busy, broken or too new; and where it may be."""

import asyncio
import sqlite3
import stat
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.contract.transcript.conftest import Place, postgresql_place
from tests.records import exchange
from tests.servers.postgresql import PostgreSQL
from tests.waiting import wait_until
from worker.domain.conversations import EVERYTHING, Filter
from worker.domain.formats import FORMAT
from worker.errors import NewerFormat, Permanent, TranscriptDown
from worker.transcript import SqlFormat, SqlTranscriptReader, SqlTranscriptWriter, address, database, open_database


async def test_a_server_that_is_away_is_said_so_and_used_again_when_it_is_back() -> None:
    with PostgreSQL() as server:
        place = postgresql_place(server)
        await asyncio.to_thread(server.stop)
        async with open_database(place.url) as opened:
            transcript, conversations = SqlTranscriptWriter(opened), SqlTranscriptReader(opened)
            with pytest.raises(TranscriptDown):
                await transcript.record(exchange(1, question="my secret"))
            await asyncio.to_thread(server.start)
            await transcript.record(exchange(1))
            await asyncio.to_thread(server.stop)
            with pytest.raises(TranscriptDown) as down:
                await transcript.record(exchange(2, question="my secret"))
            with pytest.raises(TranscriptDown):
                await conversations.sessions(Filter(), within=EVERYTHING)
            await asyncio.to_thread(server.start)
            await transcript.record(exchange(2))
            [session] = (await conversations.sessions(Filter(), within=EVERYTHING)).items

    assert session.messages == 4
    assert "secret" not in str(down.value)
    assert server.password not in str(down.value)


async def test_connections_that_the_server_cut_cost_nobody_an_error(postgresql: PostgreSQL) -> None:
    async with open_database(postgresql_place(postgresql).url) as opened:
        await SqlTranscriptWriter(opened).record(exchange(1))
        ours = "FROM pg_stat_activity WHERE application_name = 'assistant-worker'"
        postgresql.sql(f"SELECT pg_terminate_backend(pid) {ours}")
        await wait_until(lambda: postgresql.sql(f"SELECT count(*) {ours}") == "0")
        await SqlTranscriptWriter(opened).record(exchange(2))


async def test_a_file_that_somebody_else_writes_to_for_long_is_down_until_they_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_MS", 20)
    async with open_database(f"sqlite:///{tmp_path}/record.db") as opened:
        transcript = SqlTranscriptWriter(opened)
        await transcript.record(exchange(1))
        other = sqlite3.connect(tmp_path / "record.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TranscriptDown):
            await transcript.record(exchange(2))
        assert (await SqlTranscriptReader(opened).counts(Filter(), within=EVERYTHING)).messages == 2, "reading goes on"
        other.execute("ROLLBACK")
        other.close()
        await transcript.record(exchange(2))


async def test_writers_of_one_process_take_turns_instead_of_finding_the_file_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_MS", 0)
    async with open_database(f"sqlite:///{tmp_path}/record.db") as opened, asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(SqlTranscriptWriter(opened).record(exchange(number)), name="record")


async def test_what_is_no_database_is_down_and_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "record.db"
    file.write_text("dear diary, " * 1000)
    async with open_database(f"sqlite:///{file}") as opened:
        for _ in range(2):
            with pytest.raises(TranscriptDown):
                await SqlTranscriptWriter(opened).record(exchange(1))

    assert file.read_text() == "dear diary, " * 1000


async def test_a_folder_that_cannot_be_made_is_down(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with open_database(f"sqlite:///{tmp_path}/file/record.db") as opened:
        with pytest.raises(TranscriptDown):
            await SqlTranscriptWriter(opened).ping()


async def test_what_a_newer_worker_has_only_added_to_is_written_and_read(place: Place) -> None:
    async with open_database(place.url) as opened:
        await SqlFormat(opened, engine="default").check()
        await SqlTranscriptWriter(opened).record(exchange(1))
    place.sql("ALTER TABLE messages ADD COLUMN mood TEXT")
    place.sql("UPDATE transcript_version SET version_num = '9999'")
    async with open_database(place.url) as opened:
        await SqlFormat(opened, engine="default").check()
        await SqlTranscriptWriter(opened).record(exchange(2))
    assert await read(place) == 4

    assert place.sql("SELECT version_num FROM transcript_version") == "9999"


async def test_what_a_newer_worker_has_changed_is_left_alone(place: Place) -> None:
    async with open_database(place.url) as newer, open_database(place.url) as older:
        await SqlFormat(older, engine="default").check()
        await SqlTranscriptWriter(older).record(exchange(1))
        await SqlFormat(newer, engine="default", format=FORMAT + 1).check()
        await SqlFormat(newer, engine="another").check()

        ours = SqlFormat(older, engine="default")
        for _ in range(2):
            with pytest.raises(NewerFormat, match="update this worker"):
                await ours.check()
        with pytest.raises(TranscriptDown, match="newer worker"):
            await SqlTranscriptWriter(older).record(exchange(2))

    assert place.sql("SELECT count(*) FROM messages") == "2"
    assert place.sql("SELECT number FROM formats WHERE engine = 'default'") == str(FORMAT + 1)


async def test_of_two_that_note_a_format_at_once_the_higher_stays(place: Place) -> None:
    async with open_database(place.url) as one, open_database(place.url) as other:
        await SqlFormat(one, engine="default").check()
        higher = SqlFormat(other, engine="default", format=FORMAT + 2)
        lower = SqlFormat(one, engine="default", format=FORMAT + 1)
        await asyncio.gather(higher.check(), lower.check(), return_exceptions=True)

    assert place.sql("SELECT number FROM formats") == str(FORMAT + 2)


async def tables(place: Place) -> set[str]:
    catalogue = "sqlite_master" if place.is_sqlite else "information_schema.tables WHERE table_schema = 'public'"
    return set(place.sql(f"SELECT {'name' if place.is_sqlite else 'table_name'} FROM {catalogue}").split())  # noqa: S608 - constants


async def read(place: Place) -> int:
    async with open_database(place.url, reads_only=True) as opened:
        return (await SqlTranscriptReader(opened).counts(Filter(), within=EVERYTHING)).messages


async def test_reading_an_empty_database_says_so_and_makes_no_table(place: Place) -> None:
    assert await tables(place) == set()
    with pytest.raises(TranscriptDown, match="transcript is empty"):
        await read(place)
    assert await tables(place) == set()


async def test_reading_a_record_of_an_older_worker_says_so_and_does_not_migrate_it(place: Place) -> None:
    async with open_database(place.url) as opened:
        await SqlTranscriptWriter(opened).record(exchange(1))
    place.sql("UPDATE transcript_version SET version_num = '0001'")

    with pytest.raises(TranscriptDown, match=r"older version \(0001; this one is 0017\).*Start a worker"):
        await read(place)

    assert place.sql("SELECT version_num FROM transcript_version") == "0001"


async def test_a_reader_is_refused_by_the_server_what_it_should_not_ask_for(postgresql: PostgreSQL) -> None:
    place = postgresql_place(postgresql)
    async with open_database(place.url) as opened:
        await SqlTranscriptWriter(opened).record(exchange(1))
    async with open_database(place.url, reads_only=True) as opened:
        with pytest.raises(TranscriptDown, match="25006"):
            async with opened.reading() as connection:
                await connection.execute(text("DELETE FROM messages"))


async def test_a_file_is_made_with_its_folder_for_its_owner_only(tmp_path: Path) -> None:
    async with open_database(f"sqlite:///{tmp_path}/deep/down/record.db") as opened:
        await SqlTranscriptWriter(opened).record(exchange(1))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "deep" / "down").iterdir()}

    assert modes == dict.fromkeys(("record.db", "record.db-wal", "record.db-shm"), 0o600)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "record.db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///record.db?mode=ro",
        "mysql://user:secret@host/record",
        "postgresql+psycopg://user:secret@host/record",
        "postgresql://user:secret@host",
        "postgresql://user:secret@host:port/record",
    ],
)
async def test_an_address_that_cannot_be_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(Permanent) as refused:
        async with open_database(url):
            pass
    assert "TRANSCRIPT_URL" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_an_address_is_shown_without_what_is_secret() -> None:
    url = "postgresql://maria:secret@db.example:5433/record?password=secret"
    assert address(url) == "postgresql://db.example:5433/record"
    assert address("sqlite:////var/lib/record.db") == "sqlite:////var/lib/record.db"
