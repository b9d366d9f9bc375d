"""The file of SQLite: whose it is, what is done when it is damaged, and that reading leaves it alone."""

import asyncio
import shutil
import sqlite3
import subprocess
import threading
from pathlib import Path

import pytest
import structlog

from tests.contract.transcript.conftest import sqlite_place
from tests.records import exchange
from worker.domain.conversations import EVERYTHING, Filter
from worker.errors import TranscriptDown
from worker.transcript import SqlTranscriptReader, SqlTranscriptWriter, open_database
from worker.transcript import file as file_module
from worker.transcript.file import DUMP, File

MANY = 40
PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "record").mkdir()
    return tmp_path / "record" / "record.db"


def url(path: Path) -> str:
    return f"sqlite:///{path}"


async def written(path: Path, count: int = MANY) -> None:
    """A record, closed again."""
    async with open_database(url(path)) as opened:
        for number in range(count):
            await SqlTranscriptWriter(opened).record(exchange(number))


async def damaged(path: Path) -> bytes:
    """A record of which one page with messages is nonsense."""
    await written(path)
    return spoilt(path)


def spoilt(path: Path) -> bytes:
    """Overwrite the page that has a question from the middle."""
    pages = bytearray(path.read_bytes())
    start = pages.index(f"Question {MANY // 2}?".encode()) // PAGE * PAGE
    pages[start : start + PAGE] = b"\xa5" * PAGE
    path.write_bytes(pages)
    return bytes(pages)


def content(path: Path) -> bytes:
    return path.read_bytes()


def counted(path: Path) -> str:
    """How many messages there are, by an index that is whole."""
    return sqlite_place(path).sql("SELECT count(*) FROM messages INDEXED BY messages_session")


def take_away(path: Path, *, replaced: bool) -> None:
    path.rename(path.with_name("old.db"))
    if replaced:
        path.touch()


def plant(path: Path, target: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


async def read(path: Path) -> int:
    """How many messages are read by somebody who only reads."""
    async with open_database(url(path), reads_only=True) as opened:
        return (await SqlTranscriptReader(opened).counts(Filter(), within=EVERYTHING)).messages


async def test_a_damaged_file_is_told_loudly_once_and_never_written_to(path: Path) -> None:
    before = await damaged(path)
    with structlog.testing.capture_logs() as captured:
        async with open_database(url(path)) as opened:
            for number in range(2):
                with pytest.raises(TranscriptDown, match=r"damaged.*copy it.*\.recover"):
                    await SqlTranscriptWriter(opened).record(exchange(MANY + number))
            with pytest.raises(TranscriptDown, match="damaged"):
                await SqlTranscriptReader(opened).counts(Filter(), within=EVERYTHING)

    assert content(path) == before
    [line] = [each for each in captured if each["event"] == "transcript_damaged"]
    assert (line["log_level"], line["file"]) == ("error", str(path))
    assert "recover" in line["advice"]


async def test_damage_that_shows_itself_in_use_ends_the_writing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await damaged(path)
    monkeypatch.setattr(File, "damage", lambda *_: None)  # no time to see it
    with structlog.testing.capture_logs() as captured:
        async with open_database(url(path)) as opened:
            await SqlTranscriptWriter(opened).record(exchange(MANY))
            with pytest.raises(TranscriptDown, match="damaged"):
                await SqlTranscriptReader(opened).counts(Filter(), within=EVERYTHING)
            before = counted(path)
            with pytest.raises(TranscriptDown, match="damaged"):
                await SqlTranscriptWriter(opened).record(exchange(MANY + 1))

    assert counted(path) == before
    assert len([each for each in captured if each["event"] == "transcript_damaged"]) == 1


async def test_what_is_read_of_a_damaged_file_says_so_and_leaves_it_alone(path: Path) -> None:
    before = await damaged(path)
    with pytest.raises(TranscriptDown, match="damaged"):
        await read(path)

    assert content(path) == before


def test_who_finds_the_new_file_in_use_waits_for_it(path: Path) -> None:
    """Of two that start on an empty file, SQLite refuses one at once to keep a log of writes while the other writes."""
    file = File(str(path))
    file.make()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    class Over(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            other.execute("COMMIT")
            return super().wait(0 if timeout is None else timeout)

    with pytest.raises(sqlite3.OperationalError, match="locked"):
        file.keep_log(0, threading.Event())
    file.keep_log(60, Over())
    other.close()
    assert sqlite_place(path).sql("PRAGMA journal_mode") == "wal"


async def test_a_look_for_damage_ends_in_time_or_with_the_worker(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await damaged(path)
    over = threading.Event()
    assert File(str(path)).damage(60, over) is not None
    monkeypatch.setattr(file_module, "STEPS", 1)
    assert File(str(path)).damage(0, over) is None
    over.set()
    assert File(str(path)).damage(60, over) is None


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="the advice names a program that is not here")
async def test_what_is_advised_for_a_damaged_file_saves_what_can_be_read(path: Path, tmp_path: Path) -> None:
    await damaged(path)
    new = tmp_path / "new.db"
    command = DUMP.replace("COPY", str(path)).replace("NEW", str(new))
    await asyncio.to_thread(subprocess.run, ["/bin/sh", "-c", command], check=True, timeout=60)

    assert sqlite_place(new).sql("PRAGMA integrity_check") == "ok"
    async with open_database(url(new)) as opened:
        await SqlTranscriptWriter(opened).record(exchange(MANY))
        [session] = (await SqlTranscriptReader(opened).sessions(Filter(), within=EVERYTHING)).items
    assert session.messages >= MANY


async def test_a_link_at_the_files_place_is_not_followed(path: Path, tmp_path: Path) -> None:
    for target in (tmp_path / "elsewhere.db", tmp_path / "there.db"):
        if target.name == "there.db":
            await written(target, 1)
        plant(path, target)
        with pytest.raises(TranscriptDown, match="symbolic link"):
            async with open_database(url(path)) as opened:
                await SqlTranscriptWriter(opened).record(exchange(1))
        with pytest.raises(TranscriptDown, match="symbolic link"):
            await read(path)
    assert not (tmp_path / "elsewhere.db").exists()


@pytest.mark.parametrize("replaced", [True, False])
async def test_a_file_that_is_taken_away_under_a_worker_is_said_and_not_written_to(path: Path, replaced: bool) -> None:
    async with open_database(url(path)) as opened:
        await SqlTranscriptWriter(opened).record(exchange(1))
        take_away(path, replaced=replaced)
        with pytest.raises(TranscriptDown, match="Another file" if replaced else "does not exist"):
            await SqlTranscriptWriter(opened).record(exchange(2))

    assert not replaced or content(path) == b""


async def test_reading_makes_neither_file_nor_folder(path: Path) -> None:
    for missing in (path, path.parent / "deep" / "record.db"):
        with pytest.raises(TranscriptDown, match=r"There is no transcript: the file .*record\.db does not exist"):
            await read(missing)
    assert list(path.parent.iterdir()) == []


async def test_a_folder_in_the_files_place_is_said(path: Path) -> None:
    folder = path.parent
    with pytest.raises(TranscriptDown, match="is no file"):
        await read(folder)
    with pytest.raises(TranscriptDown, match="is no file"):
        async with open_database(url(folder)) as opened:
            await SqlTranscriptWriter(opened).ping()


async def test_reading_goes_beside_a_worker_and_without_one(path: Path) -> None:
    async with open_database(url(path)) as opened:
        await SqlTranscriptWriter(opened).record(exchange(1))
        assert await read(path) == 2
        await SqlTranscriptWriter(opened).record(exchange(2))
        assert await read(path) == 4
    assert await read(path) == 4


async def test_a_record_in_a_folder_that_takes_no_files_can_be_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await written(path, 1)
    monkeypatch.setattr("os.access", lambda *_: False)  # as it is on a disk that takes no writes
    assert await read(path) == 2
    assert [each.name for each in path.parent.iterdir()] == ["record.db"]


async def test_a_name_that_means_something_in_an_address_is_a_name(tmp_path: Path) -> None:
    path = tmp_path / "a%20b#c ü.db"
    async with open_database(f"sqlite:///{tmp_path}/a%20b#c ü.db") as opened:
        await SqlTranscriptWriter(opened).record(exchange(1))
    assert await read(path) == 2


async def test_a_reader_cannot_write(path: Path) -> None:
    await written(path, 1)
    async with open_database(url(path), reads_only=True) as opened:
        with pytest.raises(RuntimeError, match="to be read"):
            await SqlTranscriptWriter(opened).record(exchange(2))
