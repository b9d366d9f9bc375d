"""What Redis keeps is found thread by thread and ended under the hold, on one server and on a cluster."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.records import exchange
from tests.waiting import wait_until
from worker.domain.conversations import Subject
from worker.domain.endings import Kept, Receipt, Step, Store, Unrecorded
from worker.domain.exchanges import TRANSCRIPT
from worker.domain.threads import Answer, Busy, Entered, Thread, ThreadKey
from worker.errors import StoreDown
from worker.redis import RedisOrders, RedisOutbox, RedisThreadIndex, RedisThreads
from worker.redis.connect import Client
from worker.redis.formats import CorruptRecord
from worker.redis.keys import Keys

LEASE = timedelta(seconds=30)
KEEP = timedelta(days=30)
KEY = ThreadKey("default", "instance-1", "analyst")
NOW = datetime(2026, 5, 4, 9, tzinfo=UTC)
STRANGE = 'a{b}:c%2Fd*[e]? "ü'
ORDER = Receipt("4711", "default", "instance-1", None, NOW, steps=(Step(Store.REDIS, "keys", KEY),))


@pytest.fixture
def threads(redis: Client) -> RedisThreads:
    return RedisThreads(redis, prefix="test", lease=LEASE, keep=KEEP)


@pytest.fixture
def index(redis: Client) -> RedisThreadIndex:
    return RedisThreadIndex(redis, prefix="test", engine="default", lease=LEASE, keep=KEEP)


@pytest.fixture
def orders(redis: Client) -> RedisOrders:
    return RedisOrders(redis, prefix="test", engine="default")


async def turn(threads: RedisThreads, key: ThreadKey, task: str = "task-1", *, recorded: bool = True) -> None:
    """One answered turn, with the thread bound."""
    entry = await threads.enter(key, task)
    assert isinstance(entry, Entered)
    if entry.thread is None:
        assert await threads.bind(entry.hold, Thread(f"conv_{key.scope}", 1), 0, "bound-by")
    kept = None if recorded else exchange(1, key, task_id=task)
    await threads.keep_answer(entry.hold, 1, Answer("Yes."), published=True, exchange=kept)


async def found(index: RedisThreadIndex, key: ThreadKey = KEY) -> Kept:
    return next(each for each in await index.threads() if each.key == key)


async def test_names_that_we_did_not_give_hide_no_thread_and_are_no_threads_of_ours(
    threads: RedisThreads, index: RedisThreadIndex, redis: Client
) -> None:
    await turn(threads, KEY)
    for odd in ("%ff:x", "instance%2D1:analyst", "a%3ab:c", "a:b:c:d", "\\xff:x", ":x"):
        await redis.hset(f"test:default:{{{odd}}}:thread", mapping={"id": "conv_other", "generation": "1"})
    await redis.hset(f"{Keys.of('test', KEY).thread.removesuffix('thread')}turn:%ff", mapping={"state": "open"})

    [kept] = await index.threads()
    assert (kept.key, kept.thread) == (KEY, Thread("conv_instance-1", 1, "bound-by"))
    assert {each.task_id for each in await index.turns(kept)} == {"task-1", "%ff"}
    assert len((await index.some(99, LEASE))[0]) == 1


async def test_every_thread_is_found_with_its_turns_whatever_its_name(
    threads: RedisThreads, index: RedisThreadIndex
) -> None:
    keys = [
        ThreadKey("default", "instance-1", "analyst"),
        ThreadKey("default", "instance-1", "critic", tenant="north"),
        ThreadKey("default", "business-key:order 7", "analyst"),
        ThreadKey("default", STRANGE, STRANGE, tenant=STRANGE),
        *(ThreadKey("default", f"many-{number}", "analyst") for number in range(60)),
    ]
    for key in keys:
        await turn(threads, key)
        await turn(threads, key, STRANGE)
    await turn(threads, ThreadKey("default2", "instance-1", "analyst"))

    kept = await index.threads()

    assert {each.key for each in kept} == set(keys)
    assert len(kept) == len(keys)
    assert {len(each.turns) for each in kept} == {2}
    assert {each.thread and each.thread.generation for each in kept} == {1}
    assert {each.task_id for each in await index.turns(await found(index, keys[3]))} == {"task-1", STRANGE}


@pytest.mark.parametrize(
    ("scope", "owner"),
    [
        ("instance-1", Subject("default", instance="instance-1")),
        ("business-key:order 7", Subject("default", business_key="order 7", tenants=frozenset([None]))),
        ("task:4711", Subject("default", instance="bound-by")),
    ],
)
async def test_whose_end_a_thread_shares(
    threads: RedisThreads, index: RedisThreadIndex, scope: str, owner: Subject
) -> None:
    await turn(threads, ThreadKey("default", scope, "analyst"))

    [kept] = await index.threads()
    assert kept.owner == owner


async def test_forgetting_takes_map_hold_and_turns_of_one_thread_only(
    threads: RedisThreads, index: RedisThreadIndex
) -> None:
    other = ThreadKey("default", "instance-10", "analyst")
    for key in (KEY, other):
        await turn(threads, key)
    hold = await index.reserve(KEY)
    assert hold is not None

    assert await index.forget(hold, await found(index), unrecorded=False) == 2

    assert [(each.key, len(each.turns)) for each in await index.threads()] == [(other, 1)]
    entry = await threads.enter(KEY, "task-9")
    assert isinstance(entry, Entered)
    assert entry.thread is None


async def test_a_turn_that_the_transcript_lacks_stays_unless_it_is_to_go(
    redis: Client, threads: RedisThreads, index: RedisThreadIndex
) -> None:
    await turn(threads, KEY, "recorded")
    await turn(threads, KEY, "unrecorded", recorded=False)
    outbox = RedisOutbox(redis, prefix="test", engine="default")
    hold = await index.reserve(KEY)
    assert hold is not None

    assert await index.forget(hold, await found(index), unrecorded=False) == 2
    [left] = await index.turns(await found(index))
    assert (left.task_id, left.unrecorded) == ("unrecorded", True)
    assert await outbox.backlog(TRANSCRIPT) == 1

    hold = await index.reserve(KEY)
    assert hold is not None
    assert await index.forget(hold, await found(index), unrecorded=True) == 1
    assert await outbox.backlog(TRANSCRIPT) == 0
    assert await index.threads() == []


async def test_an_answer_of_before_an_erasure_is_kept_nowhere_and_one_of_after_it_is(
    redis: Client, threads: RedisThreads, index: RedisThreadIndex
) -> None:
    outbox, said, given = RedisOutbox(redis, prefix="test", engine="default"), exchange(1, KEY), Answer("Yes.")
    lost = await threads.enter(KEY, said.task_id)
    assert isinstance(lost, Entered)
    assert await threads.intend(lost.hold, 1, LEASE)
    await redis.delete(Keys.of("test", KEY).hold)
    hold = await index.reserve(KEY)
    assert hold is not None
    await index.forget(hold, await found(index), unrecorded=True)

    assert await threads.keep_answer(lost.hold, 1, given, published=False, exchange=said) == given
    assert not await outbox.hand_in(TRANSCRIPT, said, timedelta(0))
    assert await index.threads() == []
    assert [each.exchanges for each in await outbox.claim(TRANSCRIPT, 9)] == [{}]

    again = await threads.enter(KEY, said.task_id)
    assert isinstance(again, Entered)
    assert (await threads.keep_answer(again.hold, 1, given, published=False, exchange=said)) == given
    assert [sorted(each.exchanges) for each in await outbox.claim(TRANSCRIPT, 9)] == [[1]]


async def test_what_is_handed_in_twice_is_there_once_and_without_an_entry_where_nothing_was_erased(
    redis: Client, index: RedisThreadIndex
) -> None:
    outbox, said = RedisOutbox(redis, prefix="test", engine="default"), exchange(1, KEY)
    for _ in range(2):
        assert await outbox.hand_in("memory", said, timedelta(hours=1))
    [pending] = await outbox.claim("memory", 9)
    assert (pending.exchanges[1].messages, await outbox.backlog("memory")) == (said.messages, 1)
    await outbox.settle(pending, frozenset([1]))
    assert (await outbox.backlog("memory"), await index.threads()) == (0, [])


async def test_what_a_sink_has_yet_to_get_goes_only_where_all_is_to_go(redis: Client, index: RedisThreadIndex) -> None:
    threads = RedisThreads(redis, prefix="test", lease=LEASE, keep=KEEP, sinks=["memory"])
    await turn(threads, KEY, recorded=False)
    left = Keys.exchanges(Keys.of("test", KEY).turn("task-1"), "memory")

    for everything, there in ((False, 1), (True, 0)):
        hold = await index.reserve(KEY)
        assert hold is not None
        await index.forget(hold, await found(index), unrecorded=everything)
        assert await redis.exists(left) == there


async def test_no_turn_starts_while_a_thread_is_ended_and_none_is_ended_under_a_turn(
    threads: RedisThreads, index: RedisThreadIndex
) -> None:
    hold = await index.reserve(KEY)
    assert hold is not None
    assert await threads.enter(KEY, "task-1") == Busy()
    assert await index.renew(hold)

    await index.release(hold)

    async def free() -> bool:
        return isinstance(await threads.enter(KEY, "task-1"), Entered)

    await wait_until(free, what="the hold to be free")
    assert await index.reserve(KEY) is None


async def test_a_thread_that_was_bound_meanwhile_is_not_forgotten(
    threads: RedisThreads, index: RedisThreadIndex
) -> None:
    await turn(threads, KEY)
    before = await found(index)
    entry = await threads.enter(KEY, "task-2")
    assert isinstance(entry, Entered)
    assert await threads.bind(entry.hold, Thread("conv_new", 2), 1)
    await threads.leave(entry.hold, asked=False, trouble=False)
    hold = await index.reserve(KEY)
    assert hold is not None

    await index.forget(hold, before, unrecorded=False)

    assert await index.thread(KEY) == Thread("conv_new", 2)


async def test_without_the_hold_nothing_is_forgotten(
    redis: Client, threads: RedisThreads, index: RedisThreadIndex
) -> None:
    await turn(threads, KEY)
    hold = await index.reserve(KEY)
    assert hold is not None
    [name] = [each for each in [index._keys(KEY).hold] if await redis.delete(each)]
    assert name

    with pytest.raises(StoreDown):
        await index.forget(hold, await found(index), unrecorded=True)

    assert (await found(index)).thread is not None


async def test_a_call_that_nobody_saw_ending_is_overdue(threads: RedisThreads, index: RedisThreadIndex) -> None:
    entry = await threads.enter(KEY, "task-1")
    assert isinstance(entry, Entered)
    assert await threads.intend(entry.hold, 1, timedelta(0))
    assert await threads.note(entry.hold, 1, "resp_1")

    [turn_kept] = await index.turns(await found(index))

    assert (turn_kept.state, turn_kept.response_id) == ("intent", "resp_1")
    assert turn_kept.overdue is not None
    assert await threads.intend(entry.hold, 1, timedelta(minutes=5))
    [turn_kept] = await index.turns(await found(index))
    assert turn_kept.overdue is None


async def test_a_map_is_remembered_from_now_on(redis: Client, threads: RedisThreads, index: RedisThreadIndex) -> None:
    await turn(threads, KEY)
    name = index._keys(KEY).thread
    await redis.pexpire(name, 5000)

    await index.remember(KEY)

    assert await redis.pttl(name) > 5000
    await index.remember(ThreadKey("default", "nobody", "analyst"))
    assert len(await index.threads()) == 1


async def test_an_order_is_open_until_it_is_complete_and_can_be_read_then(orders: RedisOrders) -> None:
    assert await orders.receipt("4711") is None
    await orders.keep(ORDER)
    assert await orders.open_orders() == ["4711"]
    assert await orders.receipt("4711") == ORDER

    complete = Receipt("4711", "default", None, "order 7", NOW, completed_at=NOW, tenants=(None, "north"))
    await orders.keep(complete)

    assert await orders.open_orders() == []
    assert await orders.receipt("4711") == complete
    await orders.keep(replace(complete, completed_at=None, tenants=()))
    assert (await orders.receipt("4711")) == replace(complete, completed_at=None, tenants=())


async def test_an_order_that_nobody_can_read_is_said_to_be_so(redis: Client, orders: RedisOrders) -> None:
    for text in ("", "[]", "{}", '{"schema": 1, "id": "4711"}'):
        await redis.hset("test:default:erasures", "4711", text)
        with pytest.raises(CorruptRecord):
            await orders.receipt("4711")


async def test_who_is_missing_is_watched_from_the_first_time_on_until_found(orders: RedisOrders) -> None:
    one = Subject("default", instance="i")
    two = Subject("default", business_key="i", tenants=frozenset([None, "north"]))
    await orders.watch([one], NOW)
    await orders.watch([one, two], NOW + timedelta(days=1))
    assert await orders.missing() == {one: NOW, two: NOW + timedelta(days=1)}

    await orders.watch([two], NOW + timedelta(days=2))
    assert await orders.missing() == {two: NOW + timedelta(days=1)}

    await orders.watch([], NOW)
    assert await orders.missing() == {}


async def test_one_does_the_round_until_he_lets_go_or_is_not_heard_of(orders: RedisOrders) -> None:
    got = await asyncio.gather(*(orders.lock(f"worker-{number}", LEASE) for number in range(5)))
    assert got.count(True) == 1
    mine = f"worker-{got.index(True)}"
    assert await orders.lock(mine, LEASE)

    await orders.unlock("worker-9")
    assert not await orders.lock("worker-9", LEASE)
    await orders.unlock(mine)

    async def free() -> Any:
        return await orders.lock("worker-9", LEASE)

    await wait_until(free, what="the round to be free")


async def test_threads_are_counted_by_provider_as_far_as_time_allows(
    threads: RedisThreads, index: RedisThreadIndex
) -> None:
    for number in range(120):
        key = replace(KEY, scope=f"instance-{number}")
        entry = await threads.enter(key, "task-1")
        assert isinstance(entry, Entered)
        provider = {"provider": "local"} if number % 2 else {}
        assert await threads.bind(entry.hold, Thread(f"conv_{number}", 1, **provider), 0, key.scope)

    assert await index.providers(timedelta(seconds=5)) == ({"openai": 60, "local": 60}, True)
    some, whole = await index.providers(timedelta(0))
    assert (sum(some.values()) < 120, whole) == (True, False)


async def test_a_look_at_some_threads_ends_in_time_and_says_whether_those_are_all(
    threads: RedisThreads, index: RedisThreadIndex
) -> None:
    for number in range(60):
        await turn(threads, ThreadKey("default", f"many-{number}", "analyst"))

    some, whole = await index.some(55, LEASE)
    assert (len({each.key for each in some}), whole) == (55, False)
    assert all(each.thread for each in some)
    every, whole = await index.some(60, LEASE)
    assert (len({each.key for each in every}), whole) == (60, True)
    _, whole = await index.some(60, -LEASE)
    assert not whole


async def test_what_waits_for_the_transcript_is_told_by_thread(threads: RedisThreads, index: RedisThreadIndex) -> None:
    assert await index.waiting() == Unrecorded()
    await turn(threads, KEY, recorded=False)

    waiting = await index.waiting()
    assert (waiting.threads, waiting.whole) == (frozenset({KEY}), True)
    assert waiting.since is not None
    assert abs(waiting.since - datetime.now(UTC)) < timedelta(minutes=1)


async def test_of_more_that_waits_than_is_looked_at_every_thread_may_have_some(
    threads: RedisThreads, index: RedisThreadIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.redis.index.MOST_WAITING", 2)
    other = replace(KEY, scope="instance-2")
    await turn(threads, KEY, recorded=False)
    waiting = await index.waiting()
    assert (waiting.may_have(KEY), waiting.may_have(other)) == (True, False)

    await turn(threads, replace(KEY, scope="instance-3"), recorded=False)
    assert (await index.waiting()).may_have(other)


async def test_maps_are_read_for_those_that_are_asked_for(threads: RedisThreads, index: RedisThreadIndex) -> None:
    await turn(threads, KEY)

    assert await index.named([KEY, ThreadKey("default", "nobody", "analyst")]) == {KEY: Thread("conv_instance-1", 1)}
