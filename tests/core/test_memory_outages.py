"""A memory that is down is found so by one worker, tried again by one at a time, and left alone by all."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count as count_from
from itertools import pairwise

import pytest
from redis.exceptions import RedisError

from tests.core.remembering import FakeMemory
from tests.core.rig import Core
from worker.domain.providers import ProviderSpec
from worker.errors import MemoryDown
from worker.loop.breakers import LOOK_SECONDS
from worker.loop.memory import SharedMemory
from worker.redis import RedisOutages
from worker.runtime import background
from worker.runtime.breaker import FAILURES, OPEN_SECONDS, Breaker, BreakerOpen
from worker.runtime.clock import monotonic

SPEC = ProviderSpec("memory:zep", base_url="https://zep.example", key="z_secret")


numbers = count_from(0)


@dataclass
class Service:
    """What all workers ask. `asked` has when, and by whom."""

    is_down: bool = False
    asked: list[tuple[float, str]] = field(default_factory=list)


class Worker(FakeMemory):
    """One worker's memory, whose every request goes by its breaker; `way_shut`: it alone cannot reach the service."""

    def __init__(self, core: Core, service: Service, name: str) -> None:
        super().__init__("zep")
        self.service, self.name_, self.way_shut = service, name, False
        self.breaker = Breaker()
        outages = RedisOutages(core.redis, prefix="aw", spec=SPEC, worker=name)
        self.shared = SharedMemory(self, self.breaker, outages)

    async def check(self) -> None:
        try:
            first = self.breaker.enter()
        except BreakerOpen as exc:
            raise MemoryDown("not asked", retry_after=exc.wait) from None
        self.service.asked.append((monotonic(), self.name_))
        await asyncio.sleep(0.1)
        if self.service.is_down or self.way_shut:
            self.breaker.failed(first=first)
            raise MemoryDown("503")
        self.breaker.answered(first=first)

    async def asks(self) -> bool:
        """Whether it is answered."""
        try:
            await self.check()
        except MemoryDown:
            return False
        return True


@pytest.fixture
def service() -> Service:
    return Service()


async def begin(core: Core, service: Service, stack: AsyncExitStack, count: int = 3) -> list[Worker]:
    crew = [Worker(core, service, f"worker-{next(numbers)}") for _ in range(count)]
    for each in crew:
        await stack.enter_async_context(background.running(each.shared.watch(), each.name_))
    await asyncio.sleep(LOOK_SECONDS)
    return crew


async def find_down(worker: Worker) -> None:
    worker.service.is_down = True
    for _ in range(FAILURES):
        assert not await worker.asks()
    await asyncio.sleep(2 * LOOK_SECONDS + 1)
    worker.service.asked.clear()


async def test_what_one_worker_finds_down_no_other_asks_and_one_at_a_time_tries_again(
    core: Core, service: Service
) -> None:
    async with AsyncExitStack() as stack:
        crew = await begin(core, service, stack)
        await find_down(crew[0])
        began = monotonic()
        while monotonic() - began < 10 * OPEN_SECONDS:
            await asyncio.gather(*(each.asks() for each in crew))
            await asyncio.sleep(0.5)
        times = [at for at, _ in service.asked]
        assert 5 <= len(times) <= 11
        assert all(later - earlier >= OPEN_SECONDS * 0.9 for earlier, later in pairwise(times))
        assert len({name for _, name in service.asked}) > 1, "the way of one of them may be shut"


async def test_when_it_is_up_again_all_ask_within_seconds(core: Core, service: Service) -> None:
    async with AsyncExitStack() as stack:
        crew = await begin(core, service, stack)
        await find_down(crew[0])
        service.is_down = False
        await core.until(lambda: service.asked)
        assert len(service.asked) == 1
        await asyncio.sleep(2 * LOOK_SECONDS + 1)
        assert all([await each.asks() for each in crew])


async def test_a_worker_whose_own_way_is_shut_stops_the_others_once_and_not_for_long(
    core: Core, service: Service
) -> None:
    async with AsyncExitStack() as stack:
        crew = await begin(core, service, stack)
        crew[0].way_shut = True
        stopped, began = 0.0, monotonic()
        while monotonic() - began < 280:
            answered = await asyncio.gather(*(each.asks() for each in crew))
            stopped += 0.5 * (not all(answered[1:]))
            await asyncio.sleep(0.4)
        assert 0 < stopped < 3 * OPEN_SECONDS


async def test_a_worker_that_starts_in_an_outage_does_not_ask(core: Core, service: Service) -> None:
    async with AsyncExitStack() as stack:
        crew = await begin(core, service, stack)
        await find_down(crew[0])
        [late] = await begin(core, service, stack, 1)
        assert not await late.asks()
        assert service.asked == []


async def test_an_outage_whose_workers_have_died_ends_by_itself(core: Core, service: Service) -> None:
    async with AsyncExitStack() as stack:
        await find_down((await begin(core, service, stack))[0])
    assert await core.redis.keys("aw:*outage*")
    await asyncio.sleep(31)
    assert await core.redis.keys("aw:*outage*") == []


async def test_while_redis_is_away_each_worker_goes_by_what_it_finds_itself(core: Core, service: Service) -> None:
    async with AsyncExitStack() as stack:
        crew = await begin(core, service, stack)
        core.redis.trouble += [RedisError("away")] * 100_000
        await find_down(crew[0])
        assert [await each.asks() for each in crew] == [False] * 3
        assert [name for _, name in service.asked] == [each.name_ for each in crew[1:]]
        service.is_down = False
        assert [await each.asks() for each in crew[1:]] == [True, True]
        await asyncio.sleep(OPEN_SECONDS + LOOK_SECONDS)
        assert await crew[0].asks()
        core.redis.trouble.clear()
