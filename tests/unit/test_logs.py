"""What a log line may hold, also where a library writes it."""

import asyncio
import gc
import json
import logging
import re
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from worker.telemetry import logs


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Logging is global: what a test configures is taken back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


async def _fail_unseen() -> None:
    """A task that ends in an error which nobody looks at, as a library's may."""

    async def ask() -> None:
        key, question = "sk-" + "s3cret", "words of" + " the business"
        raise ValueError(f"{key[:0]}the answer is " + "blue" + question[:0])

    task = asyncio.create_task(ask())
    await asyncio.wait({task})
    del task
    gc.collect()


@pytest.mark.parametrize("style", ["json", "console"])
async def test_an_error_that_nobody_caught_shows_its_kind_and_place_only(
    style: Literal["json", "console"], capfd: pytest.CaptureFixture[str]
) -> None:
    logs.configure(style)
    await _fail_unseen()
    written = capfd.readouterr().err

    assert "ValueError" in written
    assert "in ask" in written or " ask" in written
    for text in ("sk-s3cret", "words of the business", "the answer is blue"):
        assert text not in written
    assert len(written.splitlines()) == 1


async def _fail_together() -> None:
    """Two tasks of a group that end in different errors."""

    async def spoil(what: str) -> None:
        raise KeyError(what) from None

    async def stall(what: str) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise ValueError(what)

    async with asyncio.TaskGroup() as group:
        group.create_task(stall("the answer is blue"))
        group.create_task(spoil("words of the business"))


async def test_of_errors_that_were_raised_together_each_shows_its_kind_and_place() -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        await _fail_together()
    told = logs.trace(caught.value)

    assert told.startswith("ExceptionGroup < ")
    for name, place in (("ValueError", "stall"), ("KeyError", "spoil")):
        assert re.search(rf"{name} < \S+test_logs\.py:\d+ {place}", told)
    assert "blue" not in told
    assert "business" not in told


def test_of_very_many_some_are_told_and_the_others_counted() -> None:
    told = logs.trace(ExceptionGroup("", [ExceptionGroup("", [ValueError("x")])] * 9))

    assert told.count("ValueError") == logs.MOST_TOGETHER
    assert told.endswith("; and 4 more)")


async def test_lines_of_libraries_are_json_too(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    logging.getLogger("some.library").warning("it said %s", "no")
    line = json.loads(capfd.readouterr().err)
    assert (line["event"], line["level"]) == ("it said no", "warning")
