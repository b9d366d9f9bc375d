"""From a model's words to whoever reads along: workers, Redis, the record and feeds, put together on fakes."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.core.closing import Closing
from tests.core.rig import Core
from tests.core.test_feeds import Reading
from tests.fakes.life import Life
from tests.fakes.provider import FakeProvider, begin
from worker.domain.conversations import EVERYTHING, MessageFilter
from worker.domain.threads import Answer, Assistant, Question
from worker.ports.providers import Watcher
from worker.redis import RedisOutbox, RedisWatchers, RedisWindows
from worker.turn.recorder import Recorder
from worker.web.feeds.feed import Feed
from worker.web.feeds.feeds import Feeds
from worker.web.feeds.place import Place

WORDS = "Take the cheap one, because the dear one is no better."
PAUSE = 0.3


class SlowProvider(FakeProvider):
    """Says each word by itself. `stalls_after` so many words of its next answer it says nothing more."""

    def __init__(self) -> None:
        super().__init__()
        self.stalls_after: int | None = None
        self.stalled = asyncio.Event()
        self.answer = lambda _: Answer(WORDS)

    async def ask(
        self, thread_id: str, question: Question, assistant: Assistant, watcher: Watcher | None = None
    ) -> Answer:
        begin(watcher)
        await self.script.reach("ask", thread_id, question, assistant)
        for number, word in enumerate(re.findall(r"\S+\s*", WORDS)):
            if number == self.stalls_after:
                self.stalls_after = None
                self.stalled.set()
                await asyncio.Event().wait()
            await asyncio.sleep(PAUSE)
            if watcher is not None:
                watcher.said(word)
        return self._land(thread_id, question)


class Ground:
    """Workers that record what they do, and feeds of some of them."""

    def __init__(self, closing: Closing, stack: AsyncExitStack) -> None:
        self.core: Core = closing.core
        self.provider = self.core.provider = SlowProvider()
        self._closing = closing
        self._stack = stack

    async def worker(self, life: Life | None = None) -> RedisWatchers:
        """Start a worker; returns who tells its calls."""
        watchers = await self._stack.enter_async_context(RedisWatchers(self.core.redis, prefix="aw"))
        outbox = RedisOutbox(self.core.redis, prefix="aw", engine="default")
        self.core.watchers = watchers
        recorder = await self._stack.enter_async_context(Recorder(outbox, [self._closing.transcript]))
        self.core.recording = recorder  # type: ignore[assignment]  # the real one
        worker = await self.core.worker(life=life)
        worker.start()
        return watchers

    async def feeds(self) -> Feeds:
        """Feeds of one worker more."""
        return await self._stack.enter_async_context(
            Feeds(
                self._closing.conversations,
                RedisWindows(self.core.redis, prefix="aw"),
                engine="default",
                most=10,
                most_each=10,
            )
        )


@asynccontextmanager
async def reading(feeds: Feeds, place: str = "") -> AsyncIterator[Reading]:
    reader = Reading(Feed(feeds, MessageFilter(instance="a"), EVERYTHING, Place.load(place)))
    try:
        yield reader
    finally:
        await reader.cut()


@pytest.fixture
async def ground(closing: Closing) -> AsyncIterator[Ground]:
    async with AsyncExitStack() as stack:
        ground = Ground(closing, stack)
        yield ground
        for worker in ground.core._workers:
            await worker.stop(hurry=True)


def heard(reader: Reading) -> str:
    """What was heard of the last answer."""
    text = ""
    for kind, data in reader.all("delta", "restarted"):
        if kind == "restarted":
            text = ""
        else:
            assert data[0] == len(text), "neither a gap nor a repetition"
            text += data[1]
    return text


async def test_an_answer_is_heard_at_two_workers_and_comes_whole_at_its_end(ground: Ground) -> None:
    await ground.worker()
    here, there = await ground.feeds(), await ground.feeds()
    await ground.core.until_over([ground.core.world.start("one", instance="a")])
    async with reading(here) as one, reading(there) as other:
        await asyncio.sleep(2)
        await ground.core.until_over([ground.core.world.start("two", instance="a")])
        await asyncio.sleep(5)

        for reader in (one, other):
            assert heard(reader) == WORDS
            assert len(reader.all("delta")) > 5, "while it was written"
            assert [text for _, text in reader.all("message")][1::2] == [WORDS, WORDS]
            assert reader.told[-1] == ("message", WORDS)
            states = [state for steps in reader.states for _, state in steps]
            assert {"asking", "delivered"} <= {*states}


async def test_a_reader_that_goes_to_another_worker_in_the_middle_of_an_answer_hears_the_rest(ground: Ground) -> None:
    await ground.worker()
    here, there = await ground.feeds(), await ground.feeds()
    await ground.core.until_over([ground.core.world.start("one", instance="a")])
    async with reading(here) as one:
        await asyncio.sleep(2)
        job = ground.core.world.start("two", instance="a")
        await ground.core.until(lambda: "cheap" in heard(one))
        place = await one.cut()
    async with reading(there, place) as other:
        await ground.core.until_over([job])
        await asyncio.sleep(5)
        assert heard(one) + "".join(data[1] for _, data in other.all("delta")) == WORDS
        assert other.all("delta")[0][1][0] == len(heard(one))
        assert other.all("restarted", "lost") == []
        assert [text for _, text in other.all("message")][1:] == [WORDS]


async def test_what_a_worker_said_that_dies_is_lost_and_the_next_one_begins_again(ground: Ground) -> None:
    life = Life()
    dying = await ground.worker(life)
    feeds = await ground.feeds()
    await ground.core.until_over([ground.core.world.start("one", instance="a")])
    async with reading(feeds) as reader:
        await asyncio.sleep(2)
        ground.provider.stalls_after = 4
        job = ground.core.world.start("two", instance="a")
        await ground.provider.stalled.wait()
        await asyncio.sleep(1)
        assert heard(reader) == "Take the cheap one, "

        life.is_over = True
        await dying.__aexit__(None, None, None)
        await ground.core.until(lambda: reader.all("lost"))
        await ground.worker()
        await ground.core.until_over([job])
        await asyncio.sleep(5)

        assert [kind for kind, _ in reader.all("lost", "restarted")] == ["lost", "restarted"]
        # The message is written by another thread, and may come before the last piece, which nobody needs then.
        assert WORDS.startswith(heard(reader))
        assert reader.told[-1] == ("message", WORDS)
        assert len(reader.all("message")) == 4
