"""What an operator sees in the log of providers that are away, and of threads that are left or folded."""

import asyncio
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.core.rig import Core
from tests.core.test_remembering import FALLBACK, away, reading, step
from worker.domain.threads import Said, Seed
from worker.errors import BadRequest, ContextFull, ModelDown
from worker.telemetry.logs import Event

Lines = list[MutableMapping[str, Any]]
TOLD = Seed((Said("user", "q1"), Said("assistant", "a1")), turns=1)


@pytest.fixture(autouse=True)
def several(core: Core) -> None:
    core.several = True
    core.history.told = TOLD


@pytest.fixture
def lines() -> Iterator[Lines]:
    with capture_logs() as found:
        yield found


def of(lines: Lines, event: Event) -> Lines:
    return [each for each in lines if each["event"] == event]


async def test_of_several_providers_the_one_that_is_away_is_named_and_its_tasks_are_parked(
    core: Core, lines: Lines
) -> None:
    async with core.working() as worker:
        away(core)
        waiting = core.world.start("first", instance="a")
        await core.until(worker.dependencies.partly)
        await core.until(lambda: [each for each in of(lines, Event.TURN) if each["verdict"] == "park"])
        [down] = of(lines, Event.DEPENDENCY_DOWN)
        away(core, ends=True)
        await core.until_over([waiting])

    assert (down["dependency"], down["reason"]) == ("provider openai", "no connection")
    parked = [each for each in of(lines, Event.TURN) if each["verdict"] == "park"]
    assert {each["reason"] for each in parked} == {"provider paused"}
    assert "openai is away: no connection" in parked[0]["error"]
    assert (waiting.retries, waiting.message) == (None, "")


async def test_a_fallback_and_the_move_of_its_thread_are_said(core: Core, lines: Lines) -> None:
    core.assistants.add("analyst", fallback=FALLBACK)
    async with core.working():
        await step(core, "first")
        away(core)
        await step(core, "second")

    fallback, *_ = of(lines, Event.FALLBACK)
    assert (fallback["provider"], fallback["model"], fallback["instead_of"]) == ("local", "small", "openai")
    [moved] = of(lines, Event.THREAD_MOVED)
    assert (moved["thread_id"], moved["provider"], moved["to"]) == ("conv_1", "openai", "local")


async def test_a_thread_that_is_full_is_named(core: Core, lines: Lines) -> None:
    async with core.working():
        await step(core, "first")
        core.provider.script.next("ask", ContextFull("full"))
        await step(core, "second")

    [full] = of(lines, Event.THREAD_FULL)
    assert full["thread_id"] == "conv_1"


async def test_a_thread_that_is_not_told_what_was_said_is_said_so(core: Core, lines: Lines) -> None:
    async with core.working():
        await step(core, "first")
        core.provider.conversations.clear()
        core.provider.script.next("create_thread", BadRequest("no such role"))
        await step(core, "second")

    [untold] = of(lines, Event.THREAD_NOT_SEEDED)
    assert untold["reason"] == "no such role"


async def test_a_history_that_is_folded_or_could_not_be_is_said(core: Core, lines: Lines) -> None:
    core.assistants.add("analyst", provider="local")
    core.window = 2000
    broken = True

    def summarise() -> None:
        if broken:
            raise ModelDown("no summaries today")

    reading(core, 2000, meanwhile=summarise)
    async with core.working():
        while not of(lines, Event.THREAD_NOT_FOLDED):
            await step(core, "talk")
        assert of(lines, Event.THREAD_FOLDED) == []
        broken = False
        while not of(lines, Event.THREAD_FOLDED):
            await step(core, "talk")
            await asyncio.sleep(120)  # the next one tries again

    assert of(lines, Event.THREAD_NOT_FOLDED)[0]["reason"] == "no summaries today"
    assert of(lines, Event.THREAD_FOLDED)[0]["turns"] > 0
