"""How many tasks wait: told to whoever reads the metrics, at a bounded pace, and in nobody's way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import REGISTRY

from tests.core.rig import Core
from tests.fakes.engine import FakeEngine
from worker.domain.tasks import Topic
from worker.errors import EngineDenied, EngineDown
from worker.loop.counted import AGE_SECONDS, PATIENCE_SECONDS, Counted


def waiting(topic: str = "topic") -> float | None:
    return REGISTRY.get_sample_value("worker_engine_tasks_waiting", {"topic": topic})


class Counting:
    """Two topics, of an engine that is up unless a test says otherwise."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.engine = FakeEngine(core.world)
        self.topics = [Topic("topic"), Topic("other")]
        self.is_up = True

    @property
    def asked(self) -> int:
        return len(self.engine.script.named("waiting"))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Counted]:
        async with Counted(self.engine, lambda: self.topics, lambda: self.is_up) as counted:
            yield counted


@pytest.fixture
def counting(core: Core) -> Counting:
    core.world.start()
    core.world.start()
    return Counting(core)


async def test_tasks_that_nobody_works_on_are_counted_by_topic(counting: Counting) -> None:
    counting.core.world.start().suspended = True
    counting.core.world.start().retries = 0
    async with counting.open() as counted:
        await counted.look()
        assert (waiting(), waiting("other")) == (2, 0)
        await counting.engine.fetch([Topic("topic")], 1)
        await asyncio.sleep(AGE_SECONDS)
        await counted.look()
        assert waiting() == 1


async def test_nobody_is_asked_before_somebody_looks_nor_again_while_the_numbers_are_young(counting: Counting) -> None:
    async with counting.open() as counted:
        await asyncio.sleep(600)
        assert counting.asked == 0
        for _ in range(9):
            await counted.look()
            await asyncio.sleep(AGE_SECONDS / 10)
        assert counting.asked == len(counting.topics)


async def test_a_slow_engine_keeps_no_scrape_waiting_and_counts_a_tenth_of_the_time(counting: Counting) -> None:
    counting.engine.script.always("waiting", 30)
    clock = asyncio.get_running_loop().time
    async with counting.open() as counted:
        started = clock()
        await counted.look()
        assert clock() - started <= PATIENCE_SECONDS + 0.1
        await asyncio.sleep(61)
        assert waiting() == 2
        await counted.look()
        await asyncio.sleep(500)
        await counted.look()
        assert counting.asked == 2
        await asyncio.sleep(60)
        await counted.look()
        assert counting.asked == 3


async def test_what_the_engine_does_not_tell_is_not_shown(counting: Counting) -> None:
    async with counting.open() as counted:
        await counted.look()
        counting.engine.script.always("waiting", EngineDown("no"))
        await asyncio.sleep(AGE_SECONDS)
        await counted.look()
        assert waiting() is None


async def test_an_engine_that_refuses_our_password_is_not_asked_again_and_again(counting: Counting) -> None:
    counting.engine.script.always("waiting", EngineDenied("no"))
    counting.is_up = False
    async with counting.open() as counted:
        for _ in range(5):
            await counted.look()
            await asyncio.sleep(AGE_SECONDS)
    assert counting.asked == 0


async def test_a_topic_that_is_gone_is_not_shown_any_more(counting: Counting) -> None:
    async with counting.open() as counted:
        await counted.look()
        del counting.topics[1]
        await asyncio.sleep(AGE_SECONDS)
        await counted.look()
        assert (waiting(), waiting("other")) == (2, None)


async def test_a_look_that_goes_on_does_not_hold_up_the_end(counting: Counting) -> None:
    counting.engine.script.always("waiting", 3600)
    clock = asyncio.get_running_loop().time
    async with counting.open() as counted:
        await counted.look()
        started = clock()
    assert clock() - started < 1
