"""What a newer worker wrote into Redis: fields that it added are left alone, and what it changed is left to it."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.records import BETWEEN, KEY, exchange
from worker.domain.conversations import EVERYTHING, MessageFilter, Subject, session_id
from worker.domain.endings import Kept, Receipt, Status, Step, Store
from worker.domain.exchanges import TRANSCRIPT, Utterance
from worker.domain.threads import Answer, Answered, Entered, Hold, Thread
from worker.errors import NewerRecord
from worker.redis import RedisOrders, RedisOutbox, RedisThreadIndex, RedisThreads, open_redis
from worker.redis.connect import Client
from worker.redis.keys import Keys
from worker.transcript import SqlTranscriptReader, SqlTranscriptWriter, open_database
from worker.turn.recorder import Carrier

MINUTE = timedelta(minutes=1)
NOW = datetime(2026, 5, 4, 9, tzinfo=UTC)
TURN = Keys.of("test", KEY).turn("task-1")
MAP = Keys.of("test", KEY).thread
LIST = "test:default:unrecorded"
ORDERS = "test:default:erasures"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Client]:
    async with open_redis(redis_url, connections=10) as client:
        yield client


@pytest.fixture
def threads(redis: Client) -> RedisThreads:
    return RedisThreads(redis, prefix="test", lease=MINUTE, keep=MINUTE)


@pytest.fixture
def index(redis: Client) -> RedisThreadIndex:
    return RedisThreadIndex(redis, prefix="test", engine="default", lease=MINUTE, keep=MINUTE)


@pytest.fixture
def outbox(redis: Client) -> RedisOutbox:
    return RedisOutbox(redis, prefix="test", engine="default")


@pytest.fixture
def orders(redis: Client) -> RedisOrders:
    return RedisOrders(redis, prefix="test", engine="default")


async def everything(redis: Client) -> dict[str, Any]:
    """What is kept, but for holds."""
    names = sorted(map(str, await redis.keys("*")))
    found: dict[str, Any] = {}
    for name in names:
        match await redis.type(name):
            case "hash" if not name.endswith(":hold"):
                found[name] = await redis.hgetall(name)
            case "zset":
                found[name] = await redis.zrange(name, 0, -1)
    return found


async def entered(threads: RedisThreads) -> Hold:
    entry = await threads.enter(KEY, "task-1")
    assert isinstance(entry, Entered)
    return entry.hold


async def answered(threads: RedisThreads, number: int = 1, between: Sequence[Utterance] = ()) -> None:
    """A turn with an answer, and an exchange that the transcript lacks."""
    hold = await entered(threads)
    assert await threads.bind(hold, Thread("conv_1", 1), 0)
    assert await threads.intend(hold, 1, MINUTE)
    answer = Answer(f"Answer {number}.", thread=Thread("conv_1", 1))
    said = exchange(number, task_id="task-1", between=between)
    await threads.keep_answer(hold, 1, answer, published=True, exchange=said)


async def changed(redis: Client, field: str, change: dict[str, Any]) -> None:
    """Write a record of the turn as a newer version might."""
    record = json.loads(await redis.hget(TURN, field) or "")
    await redis.hset(TURN, field, json.dumps(record | change))


def newer(captured: Any) -> list[Any]:
    return [line for line in captured if line["event"] == "record_newer"]


async def test_a_field_more_in_an_answer_is_left_out(redis: Client, threads: RedisThreads) -> None:
    await answered(threads)
    await changed(redis, "answer", {"mood": "new", "thread": {"id": "conv_1", "generation": 1, "region": "eu"}})

    entry = await threads.enter(KEY, "task-1")
    assert isinstance(entry, Answered)
    assert (entry.answer, entry.attempt, entry.calls) == (Answer("Answer 1.", thread=Thread("conv_1", 1)), 1, 1)


@pytest.mark.parametrize("change", [{"schema": 2}, {"schema": "1.1"}, {"outcome": "postponed"}])
async def test_an_answer_that_only_a_newer_worker_can_read_is_left_to_it_with_all_that_belongs_to_it(
    redis: Client, threads: RedisThreads, change: dict[str, Any]
) -> None:
    await answered(threads)
    await changed(redis, "answer", change)
    before = await everything(redis)

    with structlog.testing.capture_logs() as captured, pytest.raises(NewerRecord, match="Update this worker"):
        await threads.enter(KEY, "task-1")

    assert await everything(redis) == before
    assert [line["task_id"] for line in newer(captured)] == ["task-1"]
    assert not await redis.exists(Keys.of("test", KEY).hold)


@pytest.mark.parametrize("name", [TURN, MAP])
async def test_a_hash_that_a_newer_worker_changed_is_left_to_it(
    redis: Client, threads: RedisThreads, name: str
) -> None:
    await answered(threads)
    await threads.drop_answer(KEY, "task-1", 1)
    await redis.hset(name, mapping={"schema": "2", "where": "elsewhere"})
    before = await everything(redis)

    with pytest.raises(NewerRecord):
        await threads.enter(KEY, "task-1")

    assert await everything(redis) == before


Step_ = Callable[[RedisThreads, Hold], Awaitable[Any]]
STEPS: dict[str, Step_] = {
    "bind": lambda threads, hold: threads.bind(hold, Thread("conv_2", 2), 1),
    "intend": lambda threads, hold: threads.intend(hold, 1, MINUTE),
    "note": lambda threads, hold: threads.note(hold, 1, "resp_2"),
    "drop_answer": lambda threads, _: threads.drop_answer(KEY, "task-1", 1),
    "close": lambda threads, _: threads.close(KEY, "task-1"),
    "note_retries": lambda threads, _: threads.note_retries(KEY, "task-1", 0),
    "leave": lambda threads, hold: threads.leave(hold, asked=False, trouble=True, unpaid=True),
}


@pytest.mark.parametrize("step", STEPS)
async def test_no_step_touches_what_a_newer_worker_took_over_meanwhile(
    redis: Client, threads: RedisThreads, step: str
) -> None:
    hold = await entered(threads)
    await threads.bind(hold, Thread("conv_1", 1), 0)
    await threads.intend(hold, 1, MINUTE)
    for name in (TURN, MAP):
        await redis.hset(name, "schema", "2")
    before = await everything(redis)

    assert not await STEPS[step](threads, hold)

    assert await everything(redis) == before


async def test_an_answer_is_not_kept_in_a_turn_that_a_newer_worker_took_over(
    redis: Client, threads: RedisThreads
) -> None:
    hold = await entered(threads)
    await redis.hset(TURN, "schema", "2")
    before = await everything(redis)

    with pytest.raises(NewerRecord):
        await threads.keep_answer(hold, 1, Answer("Mine."), published=False)

    assert await everything(redis) == before


async def test_a_newer_workers_answer_counts_and_ours_does_not(redis: Client, threads: RedisThreads) -> None:
    hold = await entered(threads)
    await answered(threads)
    await changed(redis, "answer", {"schema": 2})

    with pytest.raises(NewerRecord):
        await threads.keep_answer(hold, 1, Answer("Mine."), published=False)


async def test_hash_fields_that_a_newer_worker_added_outlive_a_whole_turn(redis: Client, threads: RedisThreads) -> None:
    hold = await entered(threads)
    await threads.bind(hold, Thread("conv_1", 1), 0)
    for name in (TURN, MAP):
        await redis.hset(name, "mood", "new")
    await threads.intend(hold, 1, MINUTE)
    await threads.keep_answer(hold, 1, Answer("no"), published=True)
    await threads.drop_answer(KEY, "task-1", 1)
    hold = await entered(threads)
    assert await threads.bind(hold, Thread("conv_2", 2), 1)
    await threads.keep_answer(hold, 2, Answer("yes"), published=True)
    await threads.close(KEY, "task-1")

    assert [await redis.hget(name, "mood") for name in (TURN, MAP)] == ["new", "new"]


async def test_garbage_in_place_of_an_answer_takes_nothing_else_of_the_turn_along(
    redis: Client, threads: RedisThreads, outbox: RedisOutbox, tmp_path: Path
) -> None:
    await answered(threads)
    await redis.hset(TURN, mapping={"answer": "{broken", "mood": "new"})

    entry = await threads.enter(KEY, "task-1")

    assert isinstance(entry, Entered)
    assert entry.asked is not None
    assert (entry.attempt, entry.asked.running_for) == (1, timedelta(0))
    assert await redis.hget(TURN, "mood") == "new"
    other = exchange(2, task_id="task-1")
    await threads.keep_answer(entry.hold, 1, Answer("Another answer."), published=False, exchange=other)
    async with open_database(f"sqlite:///{tmp_path}/record.db") as database:
        assert await Carrier(outbox, SqlTranscriptWriter(database)).drain()
        wanted = MessageFilter(session_id=session_id(KEY))
        page = await SqlTranscriptReader(database).messages(wanted, within=EVERYTHING)
    assert [each.content for each in page.items] == ["Question 1?", "Answer 1."]
    assert await outbox.backlog(TRANSCRIPT) == 0


@pytest.mark.parametrize(
    "change", [{"schema": 3}, {"outcome": "postponed"}, {"key": {"shard": 1, "engine": "default"}}]
)
async def test_an_exchange_that_only_a_newer_worker_can_read_waits_for_it_and_is_said_once(
    redis: Client, threads: RedisThreads, outbox: RedisOutbox, tmp_path: Path, change: dict[str, Any]
) -> None:
    await answered(threads)
    await changed(redis, "exchange:1", change)
    before = await everything(redis)
    async with open_database(f"sqlite:///{tmp_path}/record.db") as database:
        carrier = Carrier(outbox, SqlTranscriptWriter(database))
        with structlog.testing.capture_logs() as captured:
            for _ in range(3):
                assert await carrier.drain()
                assert await outbox.claim(TRANSCRIPT, 10) == [], "it is out of the way for a minute"
                await redis.zadd(LIST, {TURN: 0})

    assert await everything(redis) == before
    assert len(newer(captured)) == 1


async def test_a_turn_for_the_transcript_that_a_newer_worker_changed_waits_for_it(
    redis: Client, threads: RedisThreads, outbox: RedisOutbox
) -> None:
    await answered(threads)
    await redis.hset(TURN, "schema", "2")
    before = await everything(redis)

    [pending] = await outbox.claim(TRANSCRIPT, 10)
    await outbox.settle(pending, frozenset({1}))

    assert (pending.exchanges, pending.newer) == ({}, True)
    assert await everything(redis) == before


async def test_what_is_no_turn_on_the_list_holds_up_no_other(
    redis: Client, threads: RedisThreads, outbox: RedisOutbox
) -> None:
    await redis.rpush("test:default:{instance-1:analyst}:turn:other", "something else")
    await redis.zadd(LIST, {"test:default:{instance-1:analyst}:turn:other": 0})
    await answered(threads)

    [pending] = await outbox.claim(TRANSCRIPT, 10)

    assert pending.turn == TURN
    assert await outbox.backlog(TRANSCRIPT) == 1


async def test_the_end_of_a_thread_leaves_turns_and_maps_of_a_newer_worker(
    redis: Client, threads: RedisThreads, index: RedisThreadIndex
) -> None:
    await answered(threads)
    await redis.hset(TURN, "schema", "2")
    await redis.hset(MAP, "schema", "2")
    before = await everything(redis)
    [kept] = await index.threads()
    hold = await index.reserve(KEY)
    assert hold is not None

    with pytest.raises(NewerRecord):
        await index.thread(KEY)
    assert [turn.newer for turn in await index.turns(kept)] == [True]
    assert await index.forget(hold, kept, unrecorded=False) == 0

    assert {**await everything(redis), LIST: [TURN]} == before


@pytest.mark.parametrize(("field", "schema"), [("answer", 2), ("exchange:1", 3)])
async def test_a_turn_with_a_record_of_a_newer_worker_is_known_as_such(
    redis: Client, threads: RedisThreads, index: RedisThreadIndex, field: str, schema: int
) -> None:
    await answered(threads, between=BETWEEN)
    [kept] = await index.threads()
    assert [turn.newer for turn in await index.turns(kept)] == [False]
    await changed(redis, field, {"schema": schema})

    assert [turn.newer for turn in await index.turns(kept)] == [True]


async def test_what_is_no_hash_under_our_names_ends_with_the_thread(redis: Client, index: RedisThreadIndex) -> None:
    for name in (TURN, MAP):
        await redis.rpush(name, "something else")
    [kept] = await index.threads()
    hold = await index.reserve(KEY)
    assert hold is not None

    assert await index.turns(kept) == []
    assert await index.forget(hold, kept, unrecorded=False) == 2


async def test_a_conversation_ends_whatever_its_generation_is(redis: Client, index: RedisThreadIndex) -> None:
    await redis.hset(MAP, mapping={"id": "conv_1", "generation": "many"})
    [kept] = await index.threads()
    assert kept == Kept(KEY, Thread("conv_1", 0))


ORDER = Receipt(
    "4711", "default", "instance-1", None, NOW, steps=(Step(Store.REDIS, "keys", KEY), Step(Store.TRANSCRIPT, "rows"))
)


async def test_what_a_newer_worker_added_to_an_order_stays_when_we_go_on_with_it(
    redis: Client, orders: RedisOrders
) -> None:
    await orders.keep(ORDER)
    record = json.loads(await redis.hget(ORDERS, "4711") or "")
    record["asked_by"], record["steps"][1]["region"] = "maria", "eu"
    await redis.hset(ORDERS, "4711", json.dumps(record))

    assert await orders.receipt("4711") == ORDER
    done = [step.removed(1, NOW) for step in ORDER.steps]
    await orders.keep(ORDER.noting(done[1]))
    await orders.keep(replace(ORDER.noting(*done), completed_at=NOW))

    kept = json.loads(await redis.get("test:default:receipt:4711") or "")
    assert (kept["asked_by"], [step.get("region") for step in kept["steps"]]) == ("maria", [None, "eu"])
    assert {step["status"] for step in kept["steps"]} == {Status.REMOVED}


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 4},
        {"steps": [{"store": "archive", "what": "x", "status": "open", "key": None, "at": None}]},
        {"steps": [{"store": "redis", "what": "x", "status": "frozen", "key": None, "at": None}]},
        {"steps": [{"store": "redis", "what": "x", "status": "open", "key": {"shard": 1}, "at": None}]},
    ],
)
async def test_an_order_of_a_newer_worker_is_left_to_it(
    redis: Client, orders: RedisOrders, change: dict[str, Any]
) -> None:
    await orders.keep(ORDER)
    record = json.loads(await redis.hget(ORDERS, "4711") or "")
    await redis.hset(ORDERS, "4711", json.dumps(record | change))
    before = await everything(redis)

    with pytest.raises(NewerRecord):
        await orders.receipt("4711")
    if "schema" in change:
        with pytest.raises(NewerRecord):
            await orders.keep(ORDER)

    assert await everything(redis) == before


async def test_whom_a_newer_worker_watches_in_its_own_words_it_goes_on_watching(
    redis: Client, orders: RedisOrders
) -> None:
    newer_member, mine = json.dumps(["i", None, None, "region"]), Subject("default", instance="mine")
    await redis.zadd("test:default:missing", {newer_member: NOW.timestamp(), "garbage": 1})
    await orders.watch([mine], NOW)

    assert await orders.missing() == {mine: NOW}
    await orders.watch([], NOW)
    assert await redis.zscore("test:default:missing", newer_member) == NOW.timestamp()
