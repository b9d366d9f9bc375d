"""Files that change while the worker runs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from worker.errors import EngineDown, Permanent
from worker.loop.reloading import AGAIN_SECONDS, LOOK_SECONDS, Reloading
from worker.runtime import background


class Taken:
    """What is read of a file, each time; a text that begins with `error` cannot be taken."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.texts: list[str] = []
        self.errors: list[Exception] = []

    async def __call__(self) -> list[str]:
        text = self.file.read_text()
        if self.errors:
            raise self.errors.pop(0).with_traceback(None)
        if text.startswith("error"):
            raise Permanent(f"{self.file.name}:1: {text}")
        self.texts.append(text)
        return [text]


@pytest.fixture
def taken(tmp_path: Path) -> Taken:
    (tmp_path / "file").write_text("first")
    return Taken(tmp_path / "file")


@pytest.fixture
async def reloading(taken: Taken) -> AsyncIterator[Reloading]:
    reloading = Reloading(lambda: [taken.file], taken)
    async with background.running(reloading.watch(), "reloading"):
        await looks(3)
        yield reloading


async def looks(number: int) -> None:
    await asyncio.sleep(LOOK_SECONDS * number + 0.1)


def refused() -> float | None:
    return REGISTRY.get_sample_value("worker_configuration_refused")


@pytest.mark.usefixtures("reloading")
async def test_a_changed_file_is_taken_once_and_an_unchanged_one_is_not_read(taken: Taken) -> None:
    assert taken.texts == []
    taken.file.write_text("second!")
    await looks(20)
    assert taken.texts == ["second!"]


@pytest.mark.usefixtures("reloading")
async def test_a_file_that_is_being_written_is_not_taken(taken: Taken) -> None:
    for length in range(1, 10):
        taken.file.write_text("x" * length)
        await asyncio.sleep(LOOK_SECONDS)
    assert taken.texts == []
    await looks(2)
    assert taken.texts == ["x" * 9]


@pytest.mark.usefixtures("reloading")
async def test_a_file_that_takes_anothers_place_is_taken_like_a_mounted_secret(taken: Taken, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("other")
    (tmp_path / "new").replace(taken.file)
    await looks(3)
    assert taken.texts == ["other"]


async def test_who_asks_has_everything_read_though_nothing_changed(taken: Taken, reloading: Reloading) -> None:
    reloading.ask()
    await looks(20)
    assert taken.texts == ["first"]


async def test_what_cannot_be_taken_is_said_once_with_its_line_until_it_is_put_right(
    taken: Taken, reloading: Reloading
) -> None:
    with capture_logs() as lines:
        taken.file.write_text("error: broken")
        await looks(20)
        assert [(each["event"], each["reason"]) for each in lines] == [
            ("configuration_refused", "file:1: error: broken")
        ]
        assert (refused(), len(reloading.lines())) == (1, 1)
        assert "broken" not in str(reloading.lines()), "whoever reaches the port sees it"
        taken.file.write_text("mended")
        await looks(3)
    assert lines[1:] == [{"event": "configuration_taken", "log_level": "info", "changed": ["mended"]}]
    assert (refused(), reloading.lines()) == (0, [])


@pytest.mark.parametrize("error", [EngineDown("away"), Permanent("a file that it names is missing"), KeyError("x")])
async def test_what_could_not_be_taken_is_tried_again_now_and_then(
    taken: Taken, reloading: Reloading, error: Exception
) -> None:
    taken.errors = [error] * 5
    reloading.ask()
    with capture_logs() as lines:
        await asyncio.sleep(4 * AGAIN_SECONDS)
        assert (taken.texts, taken.errors) == ([], [error])
        await asyncio.sleep(2 * AGAIN_SECONDS + 10 * LOOK_SECONDS)
    assert taken.texts == ["first"]
    assert [each["event"] for each in lines] == ["configuration_refused", "configuration_taken"]


async def test_a_file_that_appears_in_a_folder_is_noticed(taken: Taken, tmp_path: Path) -> None:
    reloading = Reloading(lambda: [tmp_path], taken)
    async with background.running(reloading.watch(), "reloading"):
        await looks(2)
        (tmp_path / "another.md").write_text("")
        await looks(3)
    assert taken.texts == ["first"]
