"""What a log line may hold, also where a library writes it."""

import asyncio
import gc
import json
import logging
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


async def test_lines_of_libraries_are_json_too(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    logging.getLogger("some.library").warning("it said %s", "no")
    line = json.loads(capfd.readouterr().err)
    assert (line["event"], line["level"]) == ("it said no", "warning")
