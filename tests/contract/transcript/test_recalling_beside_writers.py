"""A recall from SQLite beside somebody who writes: by the deadline there is an answer, or why there is none."""

import asyncio
import shutil
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from tests.contract.transcript.conftest import sqlite_place
from tests.contract.transcript.test_transcript_memory import remembered, settled
from tests.core.remembering import known_of
from worker.domain.memory import Recalled
from worker.modelling.subjects import named
from worker.transcript import EmbeddedMemory, SqlFacts, SqlMemos, SqlTranscriptWriter, open_database
from worker.turn.recalling import DEADLINE_SECONDS, Recalling

ADA = named("variable:customer", "ada", None, "default").digest
SLACK_SECONDS = 5.0
"""For a machine that is busy; the locks are held until the recall is over, however long that takes."""
RECALLS = 30
FOR_THE_DEADLINE = ("no answer within", "the memory cannot be reached")
WRITER = """
import sqlite3, sys
busy = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
busy.execute("CREATE TABLE busy (words TEXT)")
print("writes", flush=True)
while True:
    busy.execute("BEGIN IMMEDIATE")
    busy.executemany("INSERT INTO busy VALUES (?)", [("x" * 1000,)] * 200)
    busy.execute("DELETE FROM busy WHERE rowid % 3 = 0")
    busy.execute("COMMIT")
"""


@pytest.fixture
async def file(tmp_path: Path, empty_record: Path) -> Path:
    """A record, closed, in which something is known of ada."""
    file = tmp_path / "record.db"
    shutil.copy(empty_record, file)
    async with open_database(sqlite_place(file).url) as database:
        await SqlTranscriptWriter(database).record(remembered(1, ADA))
        await settled(SqlMemos(database, engine="default"))
    return file


@asynccontextmanager
async def recalling_from(file: Path) -> AsyncIterator[Recalling]:
    async with open_database(sqlite_place(file).url) as database:
        hurried = database.hurried()
        memory = EmbeddedMemory(database, hurried, engine="default")
        yield Recalling(memory, SqlFacts(database, hurried, engine="default"), "default")


async def recalled(recalling: Recalling) -> Recalled:
    """Recall in time."""
    async with asyncio.timeout(DEADLINE_SECONDS + SLACK_SECONDS):
        known = await known_of(recalling, "ada")
    assert known.recalled is not None
    return known.recalled


async def test_beside_a_process_that_writes_all_the_time_each_recall_is_in_time(file: Path) -> None:
    program = [sys.executable, "-c", WRITER, str(file)]
    writer = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
    try:
        assert writer.stdout is not None
        assert await writer.stdout.readline() == b"writes\n"
        said = list[Recalled]()
        for _ in range(RECALLS):
            async with recalling_from(file) as recalling:  # each with a breaker that is closed
                said.append(await recalled(recalling))
        assert writer.returncode is None
    finally:
        writer.kill()
        await writer.wait()
    assert [each for each in said if len(each.facts) == 1]
    assert all(len(each.facts) == 1 or each.why.startswith(FOR_THE_DEADLINE) for each in said)


async def test_a_writer_that_does_not_come_to_its_end_holds_up_no_recall(file: Path) -> None:
    async with recalling_from(file) as recalling:
        with closing(sqlite3.connect(file, isolation_level=None)) as writer:
            writer.execute("BEGIN EXCLUSIVE")
            assert len((await recalled(recalling)).facts) == 1
            writer.execute("ROLLBACK")


async def test_while_somebody_has_the_file_alone_a_recall_says_so_in_time(file: Path) -> None:
    async with recalling_from(file) as recalling:
        with closing(sqlite3.connect(file, isolation_level=None)) as writer:
            writer.execute("PRAGMA locking_mode = EXCLUSIVE")  # it keeps readers out as well
            writer.execute("BEGIN EXCLUSIVE")
            for _ in range(2):
                missed = await recalled(recalling)
                assert not missed.facts
                assert missed.why.startswith(FOR_THE_DEADLINE)
        assert len((await recalled(recalling)).facts) == 1
