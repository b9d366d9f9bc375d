"""What does not change is asked for once, however many want it and whoever gives up."""

import asyncio
from collections import Counter

import pytest

from worker.engine.cache import Cache
from worker.errors import EngineDown


class Source:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.loads: Counter[str] = Counter()
        self.open = asyncio.Event()
        self.failure: Exception | None = None

    async def load(self, key: str) -> str:
        self.loads[key] += 1
        await self.open.wait()
        if self.failure:
            raise self.failure
        return key.upper()


@pytest.fixture
async def source() -> Source:
    return Source()


async def test_all_who_want_the_same_share_one_load(source: Source) -> None:
    cache = Cache(source.load, size=2)
    wanting = [asyncio.create_task(cache.get("a")) for _ in range(5)]
    await asyncio.sleep(0)
    source.open.set()
    assert await asyncio.gather(*wanting) == ["A"] * 5
    assert await cache.get("a") == "A"
    assert source.loads == {"a": 1}


async def test_a_failure_is_shared_and_not_kept(source: Source) -> None:
    cache = Cache(source.load, size=2)
    source.failure = EngineDown("away")
    source.open.set()
    outcomes = await asyncio.gather(cache.get("a"), cache.get("a"), return_exceptions=True)
    assert [type(each) for each in outcomes] == [EngineDown, EngineDown]
    source.failure = None
    assert await cache.get("a") == "A"
    assert source.loads == {"a": 2}


async def test_who_gives_up_takes_nothing_from_the_others(source: Source) -> None:
    cache = Cache(source.load, size=2)
    first, second = (asyncio.create_task(cache.get("a")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    source.open.set()
    assert await second == "A"
    assert source.loads == {"a": 1}


async def test_the_value_used_longest_ago_goes_first(source: Source) -> None:
    source.open.set()
    cache = Cache(source.load, size=2)
    for key in ("a", "b", "a", "c", "a", "b"):
        await cache.get(key)
    assert source.loads == {"a": 1, "b": 2, "c": 1}


async def test_closing_ends_what_still_loads(source: Source) -> None:
    cache = Cache(source.load, size=2)
    wanting = asyncio.create_task(cache.get("a"))
    await asyncio.sleep(0)
    await cache.close()
    with pytest.raises(asyncio.CancelledError):
        await wanting
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "load a"]
