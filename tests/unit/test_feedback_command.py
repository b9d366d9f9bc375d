"""`assistant-worker transcript feedback`, on a real SQLite file."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.records import START, exchange, key
from worker import cli
from worker.domain.conversations import Role, message_id
from worker.domain.feedback import Feedback, Rating
from worker.operate.commands.transcript import COMMANDS
from worker.transcript import SqlFeedback, SqlTranscriptReader, SqlTranscriptWriter, open_database

SAID: tuple[tuple[int, str, Rating], ...] = ((1, "a", "right"), (1, "b", "wrong"), (2, "a", "wrong"))


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Any]:
    """A record with two answers of one assistant's version, which three words are said of, and one of another's."""
    async with open_database(f"sqlite:///{tmp_path}/record.db") as database:
        for number, name in ((1, "analyst"), (2, "analyst"), (3, "critic")):
            await SqlTranscriptWriter(database).record(exchange(number, key(assistant=name)))
        for number, person, rating in SAID:
            answer = message_id("default", f"task-instance-1-analyst-{number}", 1, Role.AGENT)
            assert await SqlFeedback(database).give(answer, Feedback(rating, "secret", person, 32 * person, START))
        yield SimpleNamespace(adapters=SimpleNamespace(conversations=SqlTranscriptReader(database)))


async def told(desk: Any, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert await COMMANDS["feedback"](desk, cli.command_line().parse_args(["transcript", "feedback", *arguments])) == 0
    return capsys.readouterr().out


async def test_it_counts_by_assistant_and_version_and_tells_no_note(
    desk: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    table = await told(desk, capsys)
    assert [line.split() for line in table.splitlines() if "analyst" in line] == [["analyst", "1.0", "1", "2"]]
    assert "critic" not in table
    assert "secret" not in table

    parsed = json.loads(await told(desk, capsys, "--json"))
    assert parsed == [{"assistant": "analyst", "version": "1.0", "right": 1, "wrong": 2}]


async def test_it_counts_from_a_time_on(desk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert "analyst" in await told(desk, capsys, "--since", f"{START:%Y-%m-%d}")
    assert await told(desk, capsys, "--since", "2999-01-01") == "Nobody has said anything of an answer.\n"
