"""What `threads show` says of an instance beside what was said in it."""

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from worker.domain.processes import Moved
from worker.errors import EngineDown
from worker.operate.commands.threads import say_moved

AT = Moved(datetime(2026, 5, 4, 9, 30, tzinfo=UTC))


def desk(told: Moved | Exception | None) -> Any:
    async def moved(_: str) -> Moved | None:
        if isinstance(told, Exception):
            raise told
        return told

    return SimpleNamespace(adapters=SimpleNamespace(engine=SimpleNamespace(moved=moved)))


async def test_the_way_back_is_named_where_a_modification_moved_it(capsys: pytest.CaptureFixture[str]) -> None:
    await say_moved(desk(AT), "4711")
    said = capsys.readouterr().out
    assert "last at 2026-05-04 09:30 UTC" in said
    assert "assistant-worker threads rewind 4711 --before ACTIVITY" in said


async def test_of_a_batch_it_is_said_that_it_may_have_moved_others(capsys: pytest.CaptureFixture[str]) -> None:
    await say_moved(desk(replace(AT, by_batch=True)), "4711")
    said = capsys.readouterr().out
    assert "was perhaps moved by a batch, whose instances the engine does not tell, last at 2026-05-04 09:30" in said


@pytest.mark.parametrize("told", [None, EngineDown("away")])
async def test_nothing_is_said_where_the_engine_tells_of_none(
    told: Exception | None, capsys: pytest.CaptureFixture[str]
) -> None:
    await say_moved(desk(told), "4711")
    assert capsys.readouterr().out == ""
