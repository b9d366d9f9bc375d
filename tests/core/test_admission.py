"""How many feeds a person may have: what is open at one worker counts at all others, for as long as it lives."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from worker.errors import StoreDown
from worker.ports.admission import TOLD_WITHIN
from worker.runtime import background
from worker.runtime.clock import monotonic
from worker.web.feeds.admission import Admission, TooMany


@dataclass(slots=True)
class Together:
    """What Redis would keep: of each person the workers' counts, and until when they count."""

    told: dict[tuple[str, str], tuple[int, float]] = field(default_factory=dict)
    is_down: bool = False
    asked: int = 0

    def at(self, worker: str) -> "Counts":
        return Counts(self, worker)

    def of(self, person: str, but: str = "") -> int:
        known = [(worker, *told) for (whose, worker), told in self.told.items() if whose == person]
        return sum(count for worker, count, until in known if worker != but and until > monotonic())


@dataclass(frozen=True, slots=True)
class Counts:
    """`ports.admission.FeedCounts` of one worker."""

    together: Together
    worker: str

    async def tell(self, person: str, count: int, most: int | None = None) -> bool:
        self.together.asked += 1
        if self.together.is_down:
            raise StoreDown("away")
        if most is not None and self.together.of(person, but=self.worker) + count > most:
            return False
        self.together.told[person, self.worker] = (count, monotonic() + TOLD_WITHIN.total_seconds())
        return True


@asynccontextmanager
async def working(together: Together, worker: str) -> AsyncIterator[Admission]:
    """A worker that admits three feeds of each person."""
    admission = Admission(100, 3, together.at(worker))

    async def telling() -> None:
        while True:
            await admission.until_due()
            with suppress(StoreDown):
                await admission.tell()

    async with background.running(telling(), worker):
        yield admission


async def opened(admission: Admission, count: int, stack: AsyncExitStack, person: str = "ann") -> None:
    for _ in range(count):
        await stack.enter_async_context(admission.admitted(person))


async def test_workers_count_together_and_hear_at_once_who_has_left() -> None:
    together = Together()
    async with working(together, "1") as one, working(together, "2") as two, AsyncExitStack() as stack:
        await opened(one, 2, stack)
        async with AsyncExitStack() as others:
            await opened(two, 1, others)
            for each in (one, two):
                with pytest.raises(TooMany, match="3 feeds of yours"):
                    await opened(each, 1, stack)
            await opened(two, 3, stack, "ben")
        await asyncio.sleep(1)
        assert together.of("ann") == 2
        await opened(two, 1, stack)


async def test_a_feed_that_lasts_counts_as_long_as_its_worker_lives_and_not_much_longer() -> None:
    together = Together()
    async with working(together, "2") as two, AsyncExitStack() as stack:
        async with working(together, "1") as one:
            await opened(one, 3, stack)
            await asyncio.sleep(3600)
            with pytest.raises(TooMany):
                await opened(two, 1, stack)
        # Gone, without a word.
        await asyncio.sleep(TOLD_WITHIN.total_seconds())
        await opened(two, 3, stack)


async def test_a_worker_that_stops_takes_its_own_with_it() -> None:
    together = Together()
    async with working(together, "2") as two, AsyncExitStack() as stack:
        async with AsyncExitStack() as own:
            one = Admission(100, 3, together.at("1"))
            await opened(one, 3, own)
        await one.close()
        await opened(two, 3, stack)


async def test_while_redis_is_away_each_worker_counts_alone_and_no_feed_waits_for_it() -> None:
    together = Together(is_down=True)
    async with working(together, "1") as one, working(together, "2") as two, AsyncExitStack() as stack:
        for each in (one, two):
            await opened(each, 3, stack)
            with pytest.raises(TooMany):
                await opened(each, 1, stack)
        assert together.asked == 2
        together.is_down = False
        await asyncio.sleep(11)
        assert together.of("ann") == 6


async def test_of_whoever_has_no_token_no_other_worker_is_told() -> None:
    together = Together()
    async with working(together, "1") as one, one.admitted("local", shared=False):
        await asyncio.sleep(60)
    assert together.asked == 0
