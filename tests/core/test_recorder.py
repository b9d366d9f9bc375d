"""Exchanges go from the journal to every sink, once each, whatever is away meanwhile."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.core.rig import KEEP, Core
from tests.fakes.clock import now
from tests.fakes.engine import LOCK
from tests.fakes.script import Script
from worker.domain.exchanges import TRANSCRIPT, Exchange, Utterance
from worker.domain.threads import Answer, Entered, Hold, Thread, ThreadKey
from worker.errors import SinkDown, StoreDown, TranscriptDown, Unstorable
from worker.redis import RedisOutbox, RedisThreads
from worker.redis.index import ERASED_FOR
from worker.redis.keys import Keys
from worker.redis.store import ANSWERED_FOR
from worker.turn.recorder import KEPT, KEPT_FOR, LAST_SECONDS, UNSTORABLE_FOR, Carrier, Recorder

NOW = datetime(2027, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class FakeSink:
    """`ports.sinks.Sink` that remembers."""

    name: str = TRANSCRIPT
    script: Script = field(default_factory=Script)
    rows: dict[tuple[str, int], Exchange] = field(default_factory=dict)

    async def ping(self) -> None:
        await self.script.reach("ping")

    async def record(self, *exchanges: Exchange) -> None:
        for exchange in exchanges:
            await self.script.reach("record", exchange)
            self.rows.setdefault((exchange.task_id, exchange.attempt), exchange)


def exchange(task_id: str = "t", attempt: int = 1) -> Exchange:
    key = ThreadKey("default", "instance", "analyst")
    said = (Utterance("q", "user"), Utterance("a", "assistant"))
    return Exchange(key, task_id, attempt, "instance", "frame", "d:1:d", "d", said, NOW, NOW)


class Desk:
    """A recorder between Redis and a transcript, or more sinks than that."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.threads = core.threads
        self.outbox = RedisOutbox(core.redis, prefix="aw", engine="default")
        self.transcript = FakeSink()
        self.recorder = Recorder(self.outbox, [self.transcript])

    def use(self, *sinks: FakeSink) -> None:
        """Work with these sinks from now on."""
        names = [sink.name for sink in sinks]
        self.threads = RedisThreads(self.core.redis, prefix="aw", lease=LOCK, keep=KEEP, sinks=names)
        self.recorder = Recorder(self.outbox, sinks)

    async def answer(self, task_id: str, attempt: int = 1) -> Hold:
        """Have an answer in the journal that the transcript lacks."""
        said = replace(exchange(task_id, attempt), key=ThreadKey("default", task_id, "analyst"))
        entry = await self.threads.enter(said.key, task_id)
        assert isinstance(entry, Entered)
        await self.threads.intend(entry.hold, attempt, timedelta(seconds=60))
        answer = Answer("a", thread=Thread("conv_1", 1))
        await self.threads.keep_answer(entry.hold, attempt, answer, published=True, exchange=said)
        return entry.hold


@pytest.fixture
def desk(core: Core) -> Desk:
    return Desk(core)


async def test_what_was_answered_is_recorded_once_and_leaves_the_list(desk: Desk) -> None:
    async with desk.recorder:
        for number in range(120):
            await desk.answer(f"t{number}")
        desk.recorder.wake()
        await desk.core.until(lambda: len(desk.transcript.rows) == 120)
        await asyncio.sleep(60)

    assert len(desk.transcript.script.named("record")) == 120
    assert await desk.outbox.backlog(TRANSCRIPT) == 0


async def test_what_another_worker_left_is_found_within_a_round(desk: Desk) -> None:
    async with desk.recorder:
        await asyncio.sleep(1)
        await desk.answer("t")
        await desk.core.until(lambda: desk.transcript.rows, within=timedelta(seconds=6))


async def test_what_is_looked_for_while_it_is_being_written_is_not_left_until_later(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another turn's answer has the recorder look between the two steps by which this one is kept."""
    run = desk.threads._run

    async def looked_at_meanwhile(script: str, *args: Any) -> Any:
        if script == "keep_answer":
            desk.recorder.wake()
            await asyncio.sleep(0.1)
        return await run(script, *args)

    monkeypatch.setattr(desk.threads, "_run", looked_at_meanwhile)
    async with desk.recorder:
        await asyncio.sleep(1)
        await desk.answer("t")
        desk.recorder.wake()
        await desk.core.until(lambda: desk.transcript.rows, within=timedelta(seconds=0.2))


async def test_of_a_worker_that_died_while_it_wrote_nothing_is_looked_for_all_the_time(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = ThreadKey("default", "t", "analyst")
    entry = await desk.threads.enter(key, "t")
    assert isinstance(entry, Entered)
    await desk.threads.intend(entry.hold, 1, timedelta(seconds=60))
    turn = Keys.of("aw", key).turn("t")
    await desk.threads._list("default", turn, [TRANSCRIPT])
    async with desk.recorder:
        await asyncio.sleep(300)
        looked = list[datetime]()
        hgetall = desk.core.redis.hgetall

        def looking(name: str) -> Any:
            looked.append(now())
            return hgetall(name)

        monkeypatch.setattr(desk.core.redis, "hgetall", looking)
        await asyncio.sleep(300)
    assert 5 < len(looked) < 15
    assert await desk.outbox.backlog(TRANSCRIPT) == 1


async def test_a_transcript_that_is_down_is_told_once_and_gets_everything_later(desk: Desk) -> None:
    desk.transcript.script.next("record", *[TranscriptDown("away")] * 12)
    with capture_logs() as lines:
        async with desk.recorder:
            for number in range(5):
                await desk.answer(f"t{number}")
            await desk.core.until(lambda: len(desk.transcript.rows) == 5)
            await asyncio.sleep(60)

    told = [line["event"] for line in lines if line["event"].startswith("transcript")]
    assert told == ["transcript_down", "transcript_up"]
    assert await desk.outbox.backlog(TRANSCRIPT) == 0


async def test_one_exchange_that_is_refused_is_out_of_the_others_way_and_tried_again(desk: Desk) -> None:
    refusals = 0

    def refuse_one() -> None:
        nonlocal refusals
        if desk.transcript.script.named("record")[-1][0].task_id == "bad":
            refusals += 1
            if refusals < 3:
                raise Unstorable("22021") if refusals == 1 else ValueError("secret")

    desk.transcript.script.always("record", refuse_one)
    with capture_logs() as lines:
        async with desk.recorder:
            for name in ("bad", "good", "fine"):
                await desk.answer(name)
            await desk.core.until(lambda: len(desk.transcript.rows) == 2, within=timedelta(minutes=1))
            began = asyncio.get_running_loop().time()
            await desk.core.until(lambda: len(desk.transcript.rows) == 3, within=timedelta(hours=4))

    assert asyncio.get_running_loop().time() - began >= UNSTORABLE_FOR.total_seconds()
    assert "secret" not in str(lines)


async def test_redis_away_stops_nothing_for_good(desk: Desk) -> None:
    async with desk.recorder:
        await desk.answer("t")
        desk.core.redis.trouble.extend([StoreDown("away")] * 4)
        with capture_logs() as lines:
            await desk.core.until(lambda: desk.transcript.rows)

    [down] = [line for line in lines if line["event"] == "transcript_down"]
    assert down["reason"] == "what is to be written cannot be read: away"


async def test_an_error_that_nobody_foresaw_ends_no_recording(desk: Desk) -> None:
    async with desk.recorder:
        desk.core.redis.trouble.append(ZeroDivisionError("secret"))
        with capture_logs() as lines:
            desk.recorder.wake()
            await desk.core.until(lambda: any(line["event"] == "recorder_crashed" for line in lines))
        await desk.answer("u")
        await desk.core.until(lambda: desk.transcript.rows)

    assert "secret" not in str(lines)


async def test_an_exchange_that_redis_could_not_keep_is_recorded_when_it_is_back(desk: Desk) -> None:
    desk.transcript.script.next("record", TranscriptDown("away"))
    desk.core.redis.trouble.extend([StoreDown("away")] * 3)
    async with desk.recorder:
        came_at = now()
        desk.recorder.keep(exchange())
        await desk.core.until(lambda: desk.transcript.rows)
    [row] = desk.transcript.rows.values()

    assert abs(row.answered_at - came_at) < timedelta(seconds=0.1) < now() - came_at
    assert await desk.outbox.backlog(TRANSCRIPT) == 0


async def test_what_redis_could_not_keep_outlives_the_worker_once_redis_is_back(desk: Desk) -> None:
    desk.transcript.script.always("record", TranscriptDown("away"))
    async with desk.recorder:
        desk.recorder.keep(exchange())
        await desk.core.until(lambda: desk.transcript.script.named("record"))
    desk.transcript.script.always("record", None)
    async with Recorder(desk.outbox, [desk.transcript]):
        await desk.core.until(lambda: desk.transcript.rows)


async def test_memory_is_bounded_in_number_and_time_and_what_is_dropped_is_said(desk: Desk) -> None:
    with capture_logs() as lines:
        for number in range(KEPT + 2):
            desk.recorder.keep(exchange(str(number)))
        await asyncio.sleep(KEPT_FOR.total_seconds() + 1)
        desk.recorder.keep(exchange("new"))
        async with desk.recorder:
            await desk.core.until(lambda: desk.transcript.rows)

    dropped = [line["task_id"] for line in lines if line["event"] == "exchange_dropped"]
    assert dropped == [str(number) for number in range(KEPT + 2)]
    assert [*desk.transcript.rows] == [("new", 1)]


def test_what_was_erased_is_known_for_longer_than_anything_waits_in_memory() -> None:
    longest_call = timedelta(hours=1)
    assert KEPT_FOR + longest_call + timedelta(hours=1) < ERASED_FOR


@pytest.mark.parametrize("state", ["runs", "closed"])
async def test_what_comes_late_from_memory_leaves_a_turn_that_is_done_with(desk: Desk, state: str) -> None:
    said = exchange("t")
    entry = await desk.threads.enter(said.key, "t")
    assert isinstance(entry, Entered)
    await desk.threads.intend(entry.hold, 1, timedelta(seconds=60))
    if state == "closed":
        await desk.threads.close(said.key, "t")
    async with desk.recorder:
        desk.recorder.keep(said)
        await desk.core.until(lambda: desk.transcript.rows)
        await asyncio.sleep(60)

    assert await desk.outbox.backlog(TRANSCRIPT) == 0
    if state == "runs":
        again = await desk.threads.enter(said.key, "t")
        assert isinstance(again, Entered)
        assert again.asked is not None, "its answer is looked for on the thread"
        assert (again.asked.running_for, again.deaths) == (timedelta(0), 0)


async def test_a_turn_of_a_newer_worker_is_left_to_it_and_that_is_said(desk: Desk) -> None:
    said = exchange("t")
    name = Keys.of("aw", said.key).turn("t")
    await desk.core.redis.hset(name, mapping={"schema": "2", "more": "1"})
    with capture_logs() as lines:
        async with desk.recorder:
            desk.recorder.keep(said)
            desk.recorder.keep(exchange("u"))
            await desk.core.until(lambda: desk.transcript.rows)

    assert await desk.core.redis.hgetall(name) == {"schema": "2", "more": "1"}
    assert [line["task_id"] for line in lines if line["event"] == "exchange_unstorable"] == ["t"]


async def test_the_end_carries_over_what_came_last_and_waits_for_no_dead_store(desk: Desk) -> None:
    async with desk.recorder:
        await asyncio.sleep(0.1)
        await desk.answer("t")
    assert desk.transcript.rows

    await desk.answer("u")
    desk.transcript.script.always("record", 600)
    again = Recorder(desk.outbox, [desk.transcript])
    began = asyncio.get_running_loop().time()
    async with again:
        pass
    assert asyncio.get_running_loop().time() - began <= LAST_SECONDS + 0.1


async def test_a_sink_that_is_down_delays_no_other_and_gets_everything_later(desk: Desk) -> None:
    memory = FakeSink("memory")
    memory.script.always("record", SinkDown("away"))
    desk.use(desk.transcript, memory)
    with capture_logs() as lines:
        async with desk.recorder:
            for number in range(60):
                await desk.answer(f"t{number:02}")
            desk.recorder.wake()
            await desk.core.until(lambda: len(desk.transcript.rows) == 60, within=timedelta(seconds=6))
            assert memory.rows == {}
            memory.script.always("record", None)
            await desk.core.until(lambda: len(memory.rows) == 60)

    assert sorted(memory.rows) == sorted(desk.transcript.rows)
    assert len(desk.transcript.script.named("record")) == 60
    told = [(line["event"], line["sink"]) for line in lines if line["event"].startswith("sink")]
    assert told == [("sink_down", "memory"), ("sink_up", "memory")]
    assert [await desk.outbox.backlog(sink) for sink in (TRANSCRIPT, "memory")] == [0, 0]


async def test_what_one_sink_refuses_the_others_have_once(desk: Desk) -> None:
    memory = FakeSink("memory")
    memory.script.next("record", Unstorable("not this one"))
    desk.use(desk.transcript, memory)
    async with desk.recorder:
        await desk.answer("t")
        await desk.core.until(lambda: memory.rows, within=timedelta(hours=4))

    assert len(desk.transcript.script.named("record")) == 1


async def test_what_redis_could_not_keep_comes_to_every_sink_from_memory(desk: Desk) -> None:
    memory = FakeSink("memory")
    memory.script.next("record", SinkDown("away"))
    desk.use(desk.transcript, memory)
    async with desk.recorder:
        desk.recorder.keep(exchange())
        await desk.core.until(lambda: memory.rows)

    assert desk.transcript.rows == memory.rows


async def test_a_sink_that_comes_later_gets_what_is_answered_from_then_on(desk: Desk) -> None:
    await desk.answer("before")
    memory = FakeSink("memory")
    desk.use(desk.transcript, memory)
    async with desk.recorder:
        await desk.answer("after")
        await desk.core.until(lambda: len(desk.transcript.rows) == 2)
        await desk.core.until(lambda: memory.rows)

    assert [*memory.rows] == [("after", 1)]


async def test_a_sink_that_nobody_knows_any_more_keeps_nothing_for_ever(desk: Desk) -> None:
    memory = FakeSink("memory")
    memory.script.always("ping", SinkDown("gone"))
    desk.use(desk.transcript, memory)
    await desk.answer("before")
    desk.use(desk.transcript)
    await desk.answer("after")
    async with desk.recorder:
        await desk.core.until(lambda: len(desk.transcript.rows) == 2)

    left = [name for name in await desk.core.redis.keys() if "memory" in name]
    lives = [await desk.core.redis.pttl(name) for name in left]
    assert len(left) == 2
    assert all(0 < life <= ANSWERED_FOR / timedelta(milliseconds=1) for life in lives)


async def test_an_answer_that_comes_after_its_turn_was_looked_at_is_not_missed_by_a_sink(desk: Desk) -> None:
    memory = FakeSink("memory")
    desk.use(memory)
    key = ThreadKey("default", "t", "analyst")
    entry = await desk.threads.enter(key, "t")
    assert isinstance(entry, Entered)
    await desk.threads.intend(entry.hold, 1, timedelta(seconds=60))
    await desk.threads._list("default", Keys.of("aw", key).turn("t"), ["memory"])
    carrier = Carrier(desk.outbox, memory)

    await carrier.drain()
    assert await desk.outbox.backlog("memory") == 1, "a call runs"
    said = replace(exchange("t"), key=key)
    await desk.threads.keep_answer(entry.hold, 1, Answer("a"), published=True, exchange=said)
    await carrier.drain()

    assert memory.rows
    assert await desk.outbox.backlog("memory") == 0
