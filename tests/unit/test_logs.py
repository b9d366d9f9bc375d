"""What a log line may hold, also where a library writes it."""

import asyncio
import gc
import json
import logging
import re
import warnings
from pathlib import Path
from typing import Literal

import pytest
import structlog

from tests.records import exchange
from worker.domain.conversations import EVERYTHING, Filter
from worker.telemetry import logs
from worker.telemetry.logs import Event
from worker.transcript import SqlTranscriptReader, SqlTranscriptWriter, open_database


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


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
async def test_no_level_shows_what_was_said(level: str, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    logs.configure("json", level)
    structlog.get_logger("worker.turn").debug("turn", own="line")
    async with open_database(f"sqlite:///{tmp_path}/record.db") as database:
        await SqlTranscriptWriter(database).record(exchange(question="A secret question.", answer="A secret answer."))
        found = await SqlTranscriptReader(database).search("secret", Filter(), within=EVERYTHING)
    for name in ("sqlalchemy.engine.Engine", "aiosqlite", "openai", "httpx2", "redis", "asyncio", "any.other"):
        logging.getLogger(name).log(
            logging.DEBUG if name != "any.other" else logging.INFO, "%s", found.items[0].excerpt
        )
    written = capfd.readouterr().err

    assert "secret" not in written
    assert ("own" in written) is (level == "DEBUG")


def test_a_warning_of_a_library_shows_its_kind_and_place_only(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logs.configure("json")
        warnings.warn("input_value='the answer is blue'\nmore: of it", stacklevel=1)
        logging.captureWarnings(capture=False)
    line = json.loads(capfd.readouterr().err)

    assert line["event"].endswith("UserWarning")
    assert "test_logs.py:" in line["event"]
    assert "blue" not in str(line)


@pytest.mark.parametrize("event", Event, ids=lambda event: event.name)
def test_every_event_says_in_a_few_words_what_it_means(event: Event) -> None:
    assert re.fullmatch(r"[A-Za-z][^\n:]{8,60}", event.words)
    assert event.words.replace(" ", "_") != event
    assert [each for each in Event if each.words == event.words] == [event]


def test_people_read_words_beside_the_name_and_programs_the_name_alone(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("console")
    structlog.get_logger("worker.turn").info(Event.THREAD_FULL, thread_id="conv_1")
    logs.configure("json")
    structlog.get_logger("worker.turn").info(Event.THREAD_FULL, thread_id="conv_1")
    for_people, for_programs = capfd.readouterr().err.splitlines()

    assert "thread_full: the model can read no more of a thread" in for_people
    assert "thread_id=conv_1" in for_people
    assert json.loads(for_programs)["event"] == "thread_full"


FORGED = "x\n2026-01-01T00:00:00Z [info     ] forged\r\x1b[2J\x1b]0;title\x07\x9b1m\u202e\u2028"


@pytest.mark.parametrize("style", ["json", "console"])
def test_no_text_makes_a_line_of_its_own_or_steers_a_terminal(
    style: Literal["json", "console"], capfd: pytest.CaptureFixture[str]
) -> None:
    logs.configure(style)
    structlog.get_logger("worker.turn").warning("turn", reason=FORGED, names=[FORGED], **{FORGED: "v"})
    structlog.get_logger("worker.turn").warning(FORGED)
    logging.getLogger("some.library").warning("it said %s", FORGED)
    written = capfd.readouterr().err

    assert len(written.splitlines()) == 3
    assert all(char.isprintable() or char == "\n" for char in written)
