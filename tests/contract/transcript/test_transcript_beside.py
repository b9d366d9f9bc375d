"""One file of SQLite, a worker that writes to it, and commands of a person that come and go beside it."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.contract.transcript.conftest import sqlite_place
from tests.flow.command import assistant_worker
from worker.demo.stage import PYTHON_ENVIRONMENT


class Writer:
    """A process that writes when it is told to."""

    def __init__(self, process: Process) -> None:
        self.process = process

    async def told(self, line: str) -> None:
        """Have it do something, and wait until that is done."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        assert await self.heard() == "done"

    async def heard(self) -> str:
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), 20)).decode().strip()

    async def stop(self) -> None:
        """End it cleanly."""
        await self.process.communicate(b"\n")

    async def kill(self) -> None:
        """End it as kill -9 does."""
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def writer(url: str) -> AsyncIterator[Writer]:
    command = (sys.executable, "-m", "tests.contract.transcript.writer", url)
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, env=PYTHON_ENVIRONMENT)
    running = Writer(process)
    try:
        assert await running.heard() == "ready"
        yield running
    finally:
        if process.returncode is None:
            await running.kill()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "record.db"


async def searched(file: Path, *arguments: str) -> str:
    """What the real command says, which is a process of its own."""
    ran = await assistant_worker(settings(file), "transcript", "search", *arguments)
    assert (ran.code, ran.err) == (0, "")
    return ran.out


def settings(file: Path) -> dict[str, str]:
    """The settings that reading needs; nobody is behind the addresses."""
    return {
        **PYTHON_ENVIRONMENT,
        "ENGINE_URL": "http://127.0.0.1:9/engine-rest",
        "REDIS_URL": "redis://127.0.0.1:9/0",
        "OPENAI_API_KEY": "none",
        "ASSISTANTS_DIR": str(file.parent),
        "TRANSCRIPT_URL": f"sqlite:///{file}",
    }


async def test_a_command_beside_a_worker_costs_no_turn_when_that_is_killed(file: Path) -> None:
    async with writer(f"sqlite:///{file}") as worker:
        await worker.told("write 1")
        assert "Answer 1" in await searched(file, "answer")
        for number in range(2, 6):
            await worker.told(f"write {number}")
        await worker.kill()

    found = await searched(file, "answer")
    assert [number for number in range(6) if f"Answer {number}." not in found] == []
    assert sqlite_place(file).sql("PRAGMA integrity_check") == "ok"


async def test_a_command_that_erases_beside_a_worker_leaves_the_file_whole(file: Path) -> None:
    async with writer(f"sqlite:///{file}") as worker:
        await searched(file, "answer")
        for number in range(40):
            await worker.told(f"write {number}")
        async with writer(f"sqlite:///{file}") as command:
            await command.told("erase other")
            await command.stop()
        for number in range(40, 80):
            await worker.told(f"write {number}")
        await worker.stop()

    place = sqlite_place(file)
    assert place.sql("PRAGMA integrity_check") == "ok"
    assert place.sql("SELECT count(*) FROM messages") == "160"


async def test_a_worker_killed_after_a_command_that_wrote_beside_it_has_lost_no_turn(file: Path) -> None:
    async with writer(f"sqlite:///{file}") as worker:
        for number in range(20):
            await worker.told(f"write {number}")
        async with writer(f"sqlite:///{file}") as command:
            await command.told("erase other")
            await command.stop()
        for number in range(20, 40):
            await worker.told(f"write {number}")
        await worker.kill()

    place = sqlite_place(file)
    assert place.sql("PRAGMA integrity_check") == "ok"
    assert place.sql("SELECT count(*) FROM messages") == "80"


@pytest.mark.parametrize(
    "command", [["transcript", "search", "answer"], ["threads", "show", "instance-1"], ["threads", "export", "i"]]
)
async def test_a_command_that_reads_says_that_there_is_no_record_and_makes_none(
    tmp_path: Path, command: list[str]
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    env = settings(tmp_path / "unused") | {"TRANSCRIPT_URL": "sqlite:///data/record.db"}

    ran = await assistant_worker(env, *command, folder=folder)

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"There is no transcript: the file {folder}/data/record.db does not exist.")
    assert list(folder.iterdir()) == []
