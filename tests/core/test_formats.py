"""A format that changes while a worker runs."""

import asyncio

import pytest

from worker.domain.formats import newer
from worker.errors import NewerFormat, StoreDown
from worker.loop.formats import BETWEEN_LOOKS, Formats


class FakeFormat:
    """A store's format. `trouble` is what a check raises."""

    def __init__(self) -> None:
        self.trouble: Exception | None = None

    async def check(self) -> None:
        if self.trouble is not None:
            raise self.trouble


async def test_a_newer_format_is_told_of_within_a_look() -> None:
    told: list[Exception] = []
    first, second = FakeFormat(), FakeFormat()
    watching = asyncio.create_task(Formats([first, second]).watch(told.append))
    await asyncio.sleep(10 * BETWEEN_LOOKS.total_seconds())
    assert told == []

    second.trouble = newer("Redis", 2, 1)
    await asyncio.sleep(BETWEEN_LOOKS.total_seconds())
    assert told == [second.trouble]
    watching.cancel()


async def test_a_store_that_is_away_says_nothing_of_its_format() -> None:
    first, second = FakeFormat(), FakeFormat()
    first.trouble = StoreDown("away")
    await Formats([first, second]).check()

    second.trouble = newer("the transcript", 2, 1)
    with pytest.raises(NewerFormat):
        await Formats([first, second]).check()
