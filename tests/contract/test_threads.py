"""The store of threads, the same on fakeredis, a real server, a master under Sentinel and a cluster."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import astuple, replace
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis, RedisCluster

from tests.contract.redis_clients import redis_client
from tests.waiting import wait_until
from worker.domain.money import Money
from worker.domain.threads import (
    Answer,
    Answered,
    Asked,
    Busy,
    Cut,
    Decision,
    Entered,
    Hold,
    Outcome,
    Past,
    Remembered,
    Said,
    Stamps,
    Standing,
    Thread,
    ThreadKey,
)
from worker.errors import IdsRepeated, StoreDown, ThreadGone
from worker.redis import RedisThreadIndex, RedisThreads, open_redis, store
from worker.redis.connect import Client
from worker.redis.keys import Keys

KEY = ThreadKey(engine="default", scope="instance-1", assistant="analyst")
LEASE = timedelta(seconds=30)
KEEP = timedelta(days=30)
MINUTE = timedelta(minutes=1)


@pytest.fixture(params=["fakeredis", "valkey", "sentinel", "cluster"])
async def redis(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    async with redis_client(request) as client:
        yield client


async def names_in(redis: Redis) -> list[str]:
    """All keys. A cluster's client asks one node only, unless it is told to ask all."""
    everywhere: dict[str, Any] = {"target_nodes": RedisCluster.PRIMARIES} if isinstance(redis, RedisCluster) else {}
    return [str(name) for name in await redis.keys("*", **everywhere)]


@pytest.fixture
def threads(redis: Redis) -> RedisThreads:
    return RedisThreads(redis, prefix="test", lease=LEASE, keep=KEEP)


@pytest.fixture
def keys() -> Keys:
    return Keys.of("test", KEY)


async def entered(threads: RedisThreads, task_id: str = "task-1", key: ThreadKey = KEY) -> Entered:
    entry = await threads.enter(key, task_id)
    assert isinstance(entry, Entered)
    return entry


async def die(threads: RedisThreads, hold: Hold) -> None:
    """End a hold as its lease does whose worker is dead."""
    await threads._redis.delete(Keys.of("test", hold.key).hold)


async def test_first_task_enters_an_empty_map_and_the_next_one_finds_it_busy(threads: RedisThreads) -> None:
    entry = await entered(threads)

    assert (entry.thread, entry.attempt, entry.asked, entry.published) == (None, 1, None, False)
    assert await threads.enter(KEY, "task-2") == Busy()


async def test_keys_of_another_scope_assistant_tenant_or_engine_are_other_threads(threads: RedisThreads) -> None:
    others = [
        KEY,
        ThreadKey("default", "instance-2", "analyst"),
        ThreadKey("default", "instance-1", "critic"),
        ThreadKey("default", "instance-1", "analyst", tenant="a"),
        ThreadKey("default", "instance-1", "analyst", tenant="b"),
        ThreadKey("other", "instance-1", "analyst"),
    ]
    for key in others:
        entry = await entered(threads, "task-1", key)
        assert await threads.bind(entry.hold, Thread(f"conv_{others.index(key)}", 1), 0)
        await threads.leave(entry.hold, asked=False, trouble=False)
    for key in others:
        assert (await entered(threads, "task-2", key)).thread == Thread(f"conv_{others.index(key)}", 1)


@pytest.mark.parametrize(
    "key",
    [
        ThreadKey("e", "a:b", "c"),
        ThreadKey("e", "a", "b:c"),
        ThreadKey("e", "a}", "{b"),
        ThreadKey("e", "b", "c", tenant="a"),
        ThreadKey("e", "\ud800\n%3A", "ü"),
    ],
)
def test_no_id_imitates_another_key_or_leaves_its_hash_tag(key: ThreadKey) -> None:
    name = Keys.of("p", key).thread
    tag = name[name.index("{") + 1 : name.index("}")]

    assert name == f"p:e:{{{tag}}}:thread"
    assert len(tag.split(":")) == (2 if key.tenant is None else 3)
    assert name.isascii()
    assert name.isprintable()


async def test_a_task_that_comes_again_takes_its_own_hold_over(threads: RedisThreads) -> None:
    earlier = await entered(threads)
    later = await entered(threads)

    assert not await threads.renew(earlier.hold)
    assert await threads.renew(later.hold)
    assert not await threads.bind(earlier.hold, Thread("conv_old", 1), 0)


async def test_a_task_whose_call_may_run_under_its_earlier_hold_is_busy_until_that_is_over(
    threads: RedisThreads,
) -> None:
    earlier = await entered(threads)
    assert await threads.intend(earlier.hold, 1, MINUTE)

    assert await threads.enter(KEY, "task-1") == Busy(), "its worker may live"
    assert await threads.renew(earlier.hold)
    assert await threads.keep_answer(earlier.hold, 1, Answer("yes"), published=False)
    assert await threads.enter(KEY, "task-1") == Answered(Answer("yes"), 1, calls=1, call=earlier.hold.token)
    assert isinstance(await asks(threads), Entered), "it was not noted as one that has to come again"


@pytest.mark.parametrize("asked", [True, False])
async def test_a_task_is_free_as_soon_as_the_worker_of_its_call_lets_go(threads: RedisThreads, asked: bool) -> None:
    earlier = await entered(threads)
    assert await threads.intend(earlier.hold, 1, MINUTE)
    await threads.leave(earlier.hold, asked=asked, trouble=True)
    looking = await entered(threads)

    assert (await threads.enter(KEY, "task-1") == Busy()) is asked, "what an earlier call left may be found by that one"
    assert await threads.renew(looking.hold) is asked


async def test_bind_needs_the_hold_and_the_generation_it_replaces(threads: RedisThreads) -> None:
    first = await entered(threads)
    assert await threads.bind(first.hold, Thread("conv_1", 1), 0)
    assert not await threads.bind(first.hold, Thread("conv_2", 1), 0)
    assert await threads.bind(first.hold, Thread("conv_2", 2), 1)
    await threads.leave(first.hold, asked=False, trouble=False)

    assert not await threads.bind(first.hold, Thread("conv_3", 3), 2)
    assert (await entered(threads, "task-2")).thread == Thread("conv_2", 2)


async def test_intent_is_seen_by_the_next_attempt_with_the_time_its_call_may_still_run(threads: RedisThreads) -> None:
    entry = await entered(threads)
    assert await threads.intend(entry.hold, 1, MINUTE)
    await die(threads, entry.hold)

    again = await entered(threads)
    assert again.asked is not None
    assert timedelta(seconds=50) < again.asked.running_for <= MINUTE
    assert not await threads.intend(entry.hold, 1, MINUTE), "the first hold is lost"


async def test_noted_response_is_seen_by_the_next_delivery_until_the_call_is_over(threads: RedisThreads) -> None:
    entry = await entered(threads)
    await threads.intend(entry.hold, 1, MINUTE)
    await die(threads, entry.hold)
    later = await entered(threads)
    assert await threads.note(entry.hold, 1, "resp_1"), "it needs no hold"
    await threads.leave(later.hold, asked=True, trouble=True)

    again = await entered(threads)
    assert again.asked is not None
    assert again.asked.response_id == "resp_1"
    await threads.leave(again.hold, asked=False, trouble=True)
    anew = await entered(threads)
    assert anew.asked is None
    await threads.intend(anew.hold, 1, MINUTE)
    await die(threads, anew.hold)
    unnoted = await entered(threads)
    assert unnoted.asked is not None
    assert unnoted.asked.response_id is None


async def test_new_intent_forgets_the_response_of_the_earlier_call(threads: RedisThreads) -> None:
    entry = await entered(threads)
    await threads.intend(entry.hold, 1, MINUTE)
    await threads.note(entry.hold, 1, "resp_1")
    await threads.intend(entry.hold, 1, MINUTE)
    await die(threads, entry.hold)

    asked = (await entered(threads)).asked
    assert asked is not None
    assert asked.response_id is None


async def test_response_of_a_call_that_is_not_the_one_that_runs_is_not_noted(
    threads: RedisThreads, redis: Redis, keys: Keys
) -> None:
    entry = await entered(threads)
    assert not await threads.note(entry.hold, 1, "resp_1"), "nothing was intended"
    await threads.intend(entry.hold, 2, MINUTE)
    assert not await threads.note(entry.hold, 1, "resp_1"), "another attempt is on"
    assert await threads.note(entry.hold, 2, "resp_2")
    await threads.keep_answer(entry.hold, 2, Answer("yes"), published=False)
    assert not await threads.note(entry.hold, 2, "resp_2"), "it is answered"

    assert await redis.hget(keys.turn("task-1"), "response") is None


@pytest.mark.parametrize(("asked", "seen"), [(True, True), (False, False)])
async def test_leaving_keeps_the_intent_of_a_call_that_may_have_run(
    threads: RedisThreads, asked: bool, seen: bool
) -> None:
    entry = await entered(threads)
    await threads.intend(entry.hold, 1, MINUTE)
    await threads.leave(entry.hold, asked=asked, trouble=False)

    assert ((await entered(threads)).asked is not None) is seen


async def test_trouble_is_timed_from_its_first_failure_until_an_answer(threads: RedisThreads) -> None:
    entry = await entered(threads)
    assert entry.trouble_for == timedelta(0)
    await threads.leave(entry.hold, asked=False, trouble=True)
    await asyncio.sleep(0.02)  # lets the server's clock move on: this is what is measured
    entry = await entered(threads)
    first = entry.trouble_for
    await threads.leave(entry.hold, asked=False, trouble=True)
    await asyncio.sleep(0.02)  # as above

    assert timedelta(0) < first < (await entered(threads)).trouble_for


async def test_workers_that_end_under_a_task_without_a_word_are_counted_until_one_is_heard_of(
    threads: RedisThreads,
) -> None:
    assert [(await entered(threads)).deaths for _ in range(3)] == [0, 1, 2]
    await threads.leave((await entered(threads)).hold, asked=False, trouble=False)
    assert (await entered(threads)).deaths == 0


async def test_answer_is_returned_to_every_later_delivery_of_its_task_only(threads: RedisThreads) -> None:
    entry = await entered(threads)
    answer = Answer(
        "Take the cheap one. ü\u2028",
        response_id="resp_1",
        input_tokens=3,
        cached_tokens=1,
        cost=Money("0.0000012", "USD"),
        thread=Thread("conv_1", 2),
    )
    assert await threads.keep_answer(entry.hold, 1, answer, published=False) == answer

    assert await threads.enter(KEY, "task-1") == Answered(answer, 1)
    assert isinstance(await threads.enter(KEY, "task-2"), Entered), "the hold was let go"


async def test_what_an_answer_says_of_searches_is_kept_nowhere(threads: RedisThreads) -> None:
    entry = await entered(threads)
    said = Answer("yes", cited=("a.txt",), found_nothing=True)
    await threads.keep_answer(entry.hold, 1, said, published=False)
    known = await threads.enter(KEY, "task-1")
    assert isinstance(known, Answered)
    assert known.answer == Answer("yes")


async def test_first_answer_wins_even_against_the_holder(threads: RedisThreads) -> None:
    slow = await entered(threads)
    quick = await entered(threads)
    first = await threads.keep_answer(slow.hold, 1, Answer("first"), published=False)
    second = await threads.keep_answer(quick.hold, 1, Answer("second"), published=False)

    assert (first.text, second.text) == ("first", "first")


async def test_losers_answer_leaves_the_winners_hold_alone(threads: RedisThreads) -> None:
    loser = await entered(threads)
    holder = await entered(threads)
    await threads.keep_answer(loser.hold, 1, Answer("kept"), published=False)

    assert await threads.renew(holder.hold)


async def test_again_drops_the_answer_and_a_straggler_of_the_old_attempt_is_not_kept(threads: RedisThreads) -> None:
    entry = await entered(threads)
    await threads.keep_answer(entry.hold, 1, Answer("no", outcome=Outcome.REFUSED), published=False)
    await threads.drop_answer(KEY, "task-1", 1)
    await threads.keep_answer(entry.hold, 1, Answer("late"), published=False)

    anew = await entered(threads)
    assert (anew.attempt, anew.asked) == (2, None)


async def test_done_keeps_the_answer_for_an_hour(threads: RedisThreads, redis: Redis, keys: Keys) -> None:
    entry = await entered(threads)
    await threads.keep_answer(entry.hold, 1, Answer("yes"), published=False)
    assert await redis.pttl(keys.turn("task-1")) > 6 * 86_400_000
    await threads.close(KEY, "task-1")

    assert 3_500_000 < await redis.pttl(keys.turn("task-1")) <= 3_600_000
    assert isinstance(await threads.enter(KEY, "task-1"), Answered)


async def test_done_without_an_entry_makes_none(threads: RedisThreads, redis: Redis) -> None:
    await threads.close(KEY, "task-1")
    assert await names_in(redis) == []


async def test_published_is_noted_for_the_bound_thread_only(threads: RedisThreads) -> None:
    entry = await entered(threads)
    await threads.bind(entry.hold, Thread("conv_2", 1), 0)
    await threads.keep_answer(entry.hold, 1, Answer("a", thread=Thread("conv_1", 1)), published=True)
    assert not (await entered(threads, "task-2")).published
    second = await entered(threads, "task-2")
    await threads.keep_answer(second.hold, 1, Answer("a", thread=Thread("conv_2", 1)), published=True)

    assert (await entered(threads, "task-3")).published


LOCAL = Thread("own_1", 1, provider="local")


def turn(text: str) -> Remembered:
    return Remembered((Said("user", f"{text}?"), Said("assistant", f"{text}.")), fact=f"{text}: result")


async def told(threads: RedisThreads, task_id: str, thread: Thread, text: str, attempt: int = 1) -> Entered:
    """Answer a task on a thread whose history we keep."""
    entry = await entered(threads, task_id)
    await threads.keep_answer(entry.hold, attempt, Answer(text, thread=thread), published=False, remembered=turn(text))
    return entry


async def test_the_map_knows_the_provider_of_its_thread(threads: RedisThreads, redis: Redis, keys: Keys) -> None:
    entry = await entered(threads)
    await threads.bind(entry.hold, LOCAL, 0)
    assert (await entered(threads)).thread == LOCAL

    await redis.hdel(keys.thread, "provider")  # as a worker wrote it that knew of one only
    assert (await entered(threads)).thread == Thread("own_1", 1, provider="openai")


async def test_a_history_has_what_was_told_at_first_and_each_answer_that_counts_once(threads: RedisThreads) -> None:
    entry = await entered(threads)
    await threads.bind(entry.hold, LOCAL, 0, said=[turn("seed")])
    await threads.leave(entry.hold, asked=False, trouble=False)
    first = await told(threads, "task-1", LOCAL, "one")
    await threads.keep_answer(first.hold, 1, Answer("late"), published=False, remembered=turn("late"))
    await told(threads, "task-2", LOCAL, "two")

    assert await threads.history(KEY, LOCAL) == Past((turn("seed"), turn("one"), turn("two")))


async def test_a_history_takes_nothing_that_was_said_on_another_thread_or_given_up(threads: RedisThreads) -> None:
    entry = await entered(threads)
    await threads.bind(entry.hold, LOCAL, 0)
    await threads.leave(entry.hold, asked=False, trouble=False)
    await told(threads, "task-1", Thread("own_0", 1, provider="local"), "elsewhere")
    await threads.drop_answer(KEY, "task-1", 1)
    await threads.keep_answer(
        entry.hold, 1, Answer("given up", thread=LOCAL), published=False, remembered=turn("given up")
    )

    assert await threads.history(KEY, LOCAL) == Past()


@pytest.mark.parametrize("lost", ["map", "another thread", "all of it", "a turn", "unreadable"])
async def test_a_history_that_is_not_whole_is_gone(threads: RedisThreads, redis: Redis, keys: Keys, lost: str) -> None:
    entry = await entered(threads)
    await threads.bind(entry.hold, LOCAL, 0)
    await threads.leave(entry.hold, asked=False, trouble=False)
    await told(threads, "task-1", LOCAL, "one")
    await told(threads, "task-2", LOCAL, "two")
    match lost:
        case "map":
            await redis.delete(keys.thread)
        case "another thread":
            await redis.hset(keys.thread, "id", "own_2")
        case "all of it":
            await redis.delete(keys.said)
        case "a turn":
            await redis.lpop(keys.said)
        case "unreadable":
            await redis.lset(keys.said, 0, "[[[")

    with pytest.raises(ThreadGone):
        await threads.history(KEY, LOCAL)


async def test_a_new_thread_begins_its_own_history_and_remembers_the_one_that_is_still_there(
    threads: RedisThreads, redis: Redis, keys: Keys
) -> None:
    entry = await entered(threads)
    await threads.bind(entry.hold, LOCAL, 0)
    await threads.leave(entry.hold, asked=False, trouble=False)
    await told(threads, "task-1", LOCAL, "one")
    anew = await entered(threads, "task-2")
    moved = Thread("own_2", 2, provider="other")
    assert await threads.bind(anew.hold, moved, 1, former=LOCAL, said=[turn("seed")])
    assert await threads.bind(anew.hold, moved, 1, former=LOCAL, said=[turn("seed")]), "the reply was lost"

    assert await threads.history(KEY, moved) == Past((turn("seed"),))
    assert json.loads(str(await redis.hget(keys.thread, "former:own_1")))["provider"] == "local"


async def test_a_history_lives_as_long_as_its_thread(threads: RedisThreads, redis: Redis, keys: Keys) -> None:
    entry = await entered(threads)
    await threads.bind(entry.hold, LOCAL, 0, said=[turn("seed")])
    for use in ("enter", "keep_answer"):
        await redis.pexpire(keys.said, 1000)
        if use == "enter":
            await entered(threads)
        else:
            await told(threads, "task-1", LOCAL, "one")
        assert await redis.pttl(keys.said) > 29 * 86_400_000, use


FOLD = Remembered((Said("user", "In short."),), facts={"one: result": "one."}, turns=3)


async def a_history(threads: RedisThreads) -> Past:
    entry = await entered(threads)
    await threads.bind(entry.hold, LOCAL, 0, said=[turn("seed")])
    await threads.leave(entry.hold, asked=False, trouble=False)
    for text in ("one", "two", "three"):
        await told(threads, f"task-{text}", LOCAL, text)
    return await threads.history(KEY, LOCAL)


async def test_the_oldest_turns_become_one_entry(threads: RedisThreads) -> None:
    past = await a_history(threads)
    assert await threads.fold(KEY, LOCAL, past, 3, FOLD, "")
    assert not await threads.fold(KEY, LOCAL, past, 3, FOLD, ""), "the reply was lost"
    assert await threads.history(KEY, LOCAL) == Past((FOLD, turn("three")), folded=3)

    await told(threads, "task-four", LOCAL, "four")
    past = await threads.history(KEY, LOCAL)
    more = replace(FOLD, turns=4)
    assert await threads.fold(KEY, LOCAL, past, 2, more, "")
    assert await threads.history(KEY, LOCAL) == Past((more, turn("four")), folded=4)


@pytest.mark.parametrize("meanwhile", ["folded", "another thread", "erased"])
async def test_a_history_that_is_not_what_was_read_is_not_folded(
    threads: RedisThreads, redis: Redis, keys: Keys, meanwhile: str
) -> None:
    past = await a_history(threads)
    match meanwhile:
        case "folded":
            assert await threads.fold(KEY, LOCAL, past, 2, replace(FOLD, turns=2), "")
        case "another thread":
            await redis.hset(keys.thread, "id", "own_2")
        case "erased":
            await redis.delete(keys.thread, keys.said)
    before = await redis.lrange(keys.said, 0, -1)
    assert not await threads.fold(KEY, LOCAL, past, 3, FOLD, "")

    assert await redis.lrange(keys.said, 0, -1) == before


async def test_one_worker_folds_at_a_time(threads: RedisThreads) -> None:
    lease = await threads.may_fold(KEY, timedelta(seconds=30))
    assert lease
    assert await threads.may_fold(KEY, timedelta(seconds=30)) is None
    await threads.fold(KEY, LOCAL, Past(), 1, FOLD, "another's")
    assert await threads.may_fold(KEY, timedelta(seconds=30)) is None
    await threads.fold(KEY, LOCAL, Past(), 1, FOLD, lease)
    assert await threads.may_fold(KEY, timedelta(seconds=30)), "it ends with the folding"


async def test_expiry_slides_with_every_use(threads: RedisThreads, redis: Redis, keys: Keys) -> None:
    entry = await entered(threads)
    await threads.bind(entry.hold, Thread("conv_1", 1), 0)
    await redis.pexpire(keys.thread, 1000)
    await entered(threads)

    assert await redis.pttl(keys.thread) > 29 * 86_400_000


async def test_hold_ends_with_its_lease_and_renewal_prolongs_it(redis: Redis) -> None:
    threads = RedisThreads(redis, prefix="test", lease=timedelta(milliseconds=80), keep=KEEP)
    entry = await entered(threads)
    await redis.pexpire(Keys.of("test", KEY).hold, 60_000)
    assert await threads.renew(entry.hold)
    assert await redis.pttl(Keys.of("test", KEY).hold) <= 80
    await wait_until(lambda: entered_by(threads, "task-2"), what="the lease to run out")

    assert not await threads.renew(entry.hold)


async def entered_by(threads: RedisThreads, task_id: str) -> bool:
    return isinstance(await threads.enter(KEY, task_id), Entered)


async def test_twenty_racers_one_binds(threads: RedisThreads) -> None:
    async def race(number: int) -> bool:
        entry = await threads.enter(KEY, f"task-{number}")
        return isinstance(entry, Entered) and await threads.bind(entry.hold, Thread(f"conv_{number}", 1), 0)

    assert sum(await asyncio.gather(*map(race, range(20)))) == 1


Step = Callable[[RedisThreads, Hold], Awaitable[Any]]
ANSWER = Answer("yes", thread=Thread("conv_1", 1))
STEPS: dict[str, Step] = {
    "bind": lambda threads, hold: threads.bind(hold, Thread("conv_1", 1), 0),
    "intend": lambda threads, hold: threads.intend(hold, 1, MINUTE),
    "note": lambda threads, hold: threads.note(hold, 1, "resp_1"),
    "keep_answer": lambda threads, hold: threads.keep_answer(hold, 1, ANSWER, published=True),
    "drop_answer": lambda threads, hold: threads.drop_answer(KEY, hold.task_id, 1),
    "close": lambda threads, hold: threads.close(KEY, hold.task_id),
    "note_retries": lambda threads, hold: threads.note_retries(KEY, hold.task_id, 0),
    "renew": lambda threads, hold: threads.renew(hold),
    "leave": lambda threads, hold: threads.leave(hold, asked=False, trouble=True, unpaid=True),
}
BEFORE = {
    "bind": [],
    "intend": ["bind"],
    "note": ["bind", "intend"],
    "keep_answer": ["bind", "intend", "note"],
    "drop_answer": ["bind", "intend", "keep_answer"],
    "close": ["bind", "intend", "keep_answer"],
    "note_retries": ["bind", "intend"],
    "renew": ["bind"],
    "leave": ["bind", "intend", "note"],
}


async def state(redis: Redis) -> dict[str, Any]:
    """Everything in Redis but the moments of time."""
    contents = {name: await redis.hgetall(name) for name in await names_in(redis)}
    return {
        name: {field: value for field, value in fields.items() if field not in {"deadline", "running", "trouble_since"}}
        for name, fields in contents.items()
    }


@pytest.mark.parametrize("name", STEPS)
async def test_a_step_repeated_after_a_lost_reply_changes_nothing_more(
    name: str, threads: RedisThreads, redis: Redis
) -> None:
    hold = (await entered(threads)).hold
    for earlier in BEFORE[name]:
        await STEPS[earlier](threads, hold)

    first = await STEPS[name](threads, hold)
    after_first = await state(redis)
    second = await STEPS[name](threads, hold)

    assert (second, await state(redis)) == (first, after_first)


async def test_enter_repeated_after_a_lost_reply_takes_the_same_hold(threads: RedisThreads, redis: Redis) -> None:
    keys = Keys.of("test", KEY)
    names = [keys.turn("t"), keys.hold, keys.thread, keys.said, keys.refused]
    args = ("t", "token", 1000, 1000, "", 1000, "made", "began")

    assert await threads._run("enter", names, *args) == await threads._run("enter", names, *args)
    assert await redis.hget(keys.hold, "token") == "token"


async def test_what_is_kept_under_ids_that_come_again_is_handed_to_nobody(threads: RedisThreads, redis: Redis) -> None:
    first = await threads.enter(KEY, "task-1", stamps=Stamps("monday", "sunday"))
    assert isinstance(first, Entered)
    await threads.bind(first.hold, Thread("conv_1", 1), 0, began_at="sunday")
    await threads.leave(first.hold, asked=False, trouble=False)
    before = await state(redis)

    for task, stamps in [("task-1", Stamps("tuesday", "sunday")), ("task-2", Stamps("tuesday", "tuesday"))]:
        with pytest.raises(IdsRepeated, match="has given out the id"):
            await threads.enter(KEY, task, stamps=stamps)
    assert await state(redis) == before

    # Who does not know when they were made is told all, as by the worker before.
    assert isinstance(await threads.enter(KEY, "task-1", stamps=Stamps("monday")), Entered)


@pytest.mark.parametrize("record", ["", "null", "[]", "{}", '{"schema":1}', "x" * 100_000, "[" * 100_000])
async def test_an_answer_that_cannot_be_read_counts_as_absent_and_is_looked_for_on_the_thread(
    threads: RedisThreads, redis: Redis, keys: Keys, record: str
) -> None:
    await redis.hset(keys.turn("task-1"), mapping={"state": "answered", "attempt": "3", "answer": record})

    entry = await entered(threads)

    assert (entry.attempt, entry.asked) == (3, Asked(timedelta(0)))


@pytest.mark.parametrize("attempt", ["", "many", "1.5", "-1"])
async def test_an_attempt_that_is_no_number_is_the_first(
    threads: RedisThreads, redis: Redis, keys: Keys, attempt: str
) -> None:
    await redis.hset(keys.turn("task-1"), mapping={"state": "open", "attempt": attempt})

    assert (await entered(threads)).attempt == 1


async def test_a_map_that_cannot_be_read_counts_as_absent_and_the_journal_stays(
    threads: RedisThreads, redis: Redis, keys: Keys
) -> None:
    entry = await entered(threads)
    await threads.intend(entry.hold, 1, MINUTE)
    await die(threads, entry.hold)
    await redis.hset(keys.thread, mapping={"id": "conv_1", "generation": "many"})

    again = await entered(threads)
    assert (again.thread, again.asked is None) == (None, False)


@pytest.mark.parametrize("part", ["turn", "hold", "thread"])
async def test_foreign_types_under_our_names_count_as_absent(
    threads: RedisThreads, redis: Redis, keys: Keys, part: str
) -> None:
    name = keys.turn("task-1") if part == "turn" else getattr(keys, part)
    await redis.rpush(name, "something else")

    assert (await entered(threads)).thread is None


async def test_records_carry_a_schema_number(threads: RedisThreads, redis: Redis, keys: Keys) -> None:
    entry = await entered(threads)
    await threads.keep_answer(entry.hold, 1, Answer("yes"), published=False)

    assert json.loads(str(await redis.hget(keys.turn("task-1"), "answer")))["schema"] == 1


async def test_ping_and_scripts_say_store_down_when_nobody_listens(unused_tcp_port: int) -> None:
    async with open_redis(f"redis://:secret@127.0.0.1:{unused_tcp_port}/0", connections=2) as client:
        threads = RedisThreads(client, prefix="test", lease=LEASE, keep=KEEP)
        with pytest.raises(StoreDown) as caught:
            await threads.ping()

    assert "secret" not in str(caught.value)


# What a task may have cost


async def entered_with(threads: RedisThreads, retries: int | None) -> Entered:
    entry = await threads.enter(KEY, "task-1", retries)
    assert isinstance(entry, Entered)
    return entry


async def called(threads: RedisThreads, attempt: int = 1, retries: int | None = None) -> Hold:
    """A call that may have been paid, under a hold of its own."""
    hold = (await entered_with(threads, retries)).hold
    assert await threads.intend(hold, attempt, MINUTE)
    return hold


async def test_each_call_that_may_have_run_counts_whether_it_was_left_or_its_worker_died(threads: RedisThreads) -> None:
    assert (await entered(threads)).calls == 0
    await threads.leave(await called(threads), asked=True, trouble=True)
    await die(threads, await called(threads))

    assert (await entered(threads)).calls == 2
    assert (await entered(threads, "task-2", ThreadKey("default", "instance-2", "analyst"))).calls == 0


async def test_one_hold_counts_one_call_however_often_it_is_intended(threads: RedisThreads) -> None:
    hold = await called(threads)
    assert await threads.intend(hold, 1, MINUTE), "a repeat after a lost reply"
    await die(threads, hold)

    assert (await entered(threads)).calls == 1


@pytest.mark.parametrize("asked", [False, True])
async def test_a_call_that_certainly_did_not_run_does_not_count_whatever_became_of_an_earlier_one(
    threads: RedisThreads, asked: bool
) -> None:
    await die(threads, await called(threads))
    hold = await called(threads)
    for _ in range(2):  # a repeat after a lost reply
        await threads.leave(hold, asked=asked, trouble=True, unpaid=True)

    assert (await entered(threads)).calls == 1


async def test_a_hold_that_is_lost_takes_its_own_call_off_the_count_and_no_other(threads: RedisThreads) -> None:
    lost = await called(threads)
    await die(threads, lost)
    later = await entered(threads)
    await threads.leave(lost, asked=False, trouble=True, unpaid=True)
    await die(threads, later.hold)
    later = await entered(threads)
    assert later.calls == 0

    await die(threads, later.hold)
    lost = await called(threads)
    await die(threads, lost)
    later = await entered(threads)
    assert await threads.intend(later.hold, 1, MINUTE)
    await threads.leave(lost, asked=False, trouble=True, unpaid=True)
    await die(threads, later.hold)
    assert (await entered(threads)).calls == 2


async def test_the_count_outlives_answers_that_are_dropped_and_knows_how_many(threads: RedisThreads) -> None:
    hold = await called(threads)
    await threads.keep_answer(hold, 1, Answer("no"), published=False)
    assert await threads.enter(KEY, "task-1") == Answered(Answer("no"), 1, calls=1, call=hold.token)
    await threads.drop_answer(KEY, "task-1", 1, "what was wrong")
    await die(threads, await called(threads, attempt=2))

    entry = await entered(threads)
    assert (entry.attempt, entry.calls, entry.dropped) == (2, 2, 1)


@pytest.mark.parametrize(
    ("told", "delivered", "calls"),
    [(0, 1, 0), (2, 3, 0), (2, 2, 1), (2, 1, 1), (None, 3, 1), (2, None, 1)],
    ids=["an incident", "between tries", "as told", "less", "never told", "not known"],
)
async def test_more_retries_than_the_engine_was_told_are_a_persons_doing_and_count_anew(
    threads: RedisThreads, told: int | None, delivered: int | None, calls: int
) -> None:
    await threads.leave(await called(threads), asked=True, trouble=True)
    if told is not None:
        await threads.note_retries(KEY, "task-1", told)
    assert (await entered_with(threads, delivered)).calls == calls


async def test_retries_that_a_person_set_count_anew_once_however_often_the_task_comes(threads: RedisThreads) -> None:
    await die(threads, await called(threads))
    await threads.note_retries(KEY, "task-1", 0)
    await die(threads, await called(threads, retries=3))

    for told, delivered, calls in ((None, 3, 1), (2, 2, 1), (None, 3, 0)):
        if told is not None:
            await threads.note_retries(KEY, "task-1", told)
        entry = await entered_with(threads, delivered)
        assert entry.calls == calls
        await die(threads, entry.hold)


async def test_the_engine_has_what_it_delivers_where_nobody_noted_what_it_was_told(threads: RedisThreads) -> None:
    await die(threads, await called(threads, retries=3))
    await die(threads, await called(threads, retries=2))  # Redis was away when that was told

    assert (await entered_with(threads, 3)).calls == 0


async def test_a_person_who_sets_the_retries_gives_trouble_and_dropped_answers_a_new_start(
    threads: RedisThreads,
) -> None:
    hold = await called(threads)
    await threads.keep_answer(hold, 1, Answer("no"), published=False)
    await threads.drop_answer(KEY, "task-1", 1)
    await threads.leave(await called(threads, attempt=2), asked=True, trouble=True)
    await threads.note_retries(KEY, "task-1", 0)
    await asyncio.sleep(0.02)  # lets the server's clock move on: this is what must not be measured

    entry = await entered_with(threads, 1)
    assert (entry.attempt, entry.calls, entry.dropped, entry.trouble_for) == (2, 0, 0, timedelta(0))
    assert entry.asked is not None, "the last call may still bring its answer"


async def test_retries_of_a_turn_that_nobody_knows_are_not_noted(threads: RedisThreads, redis: Redis) -> None:
    await threads.note_retries(KEY, "task-1", 0)
    assert await names_in(redis) == []


@pytest.mark.parametrize("value", ["", "many"])
async def test_a_count_that_is_no_number_is_none(threads: RedisThreads, redis: Redis, keys: Keys, value: str) -> None:
    names = ("calls", "dropped", "retries", "counted")
    await redis.hset(keys.turn("task-1"), mapping=dict.fromkeys(names, value))
    await die(threads, await called(threads, retries=1))

    entry = await entered(threads)
    assert (entry.calls, entry.dropped) == (1, 0)


# Which account a thread is in


async def test_the_map_knows_the_account_of_the_thread_it_names_and_of_no_other(threads: RedisThreads) -> None:
    entry = await entered(threads)
    assert await threads.bind(entry.hold, Thread("conv_1", 1, "conv_anchor"), 0)
    assert await threads.bind(entry.hold, Thread("conv_1", 1, "conv_anchor"), 0), "a repeat"
    assert (await known(threads)).anchor == "conv_anchor"

    assert await threads.bind((await entered(threads)).hold, Thread("conv_2", 2), 1)
    assert (await known(threads)).anchor is None


@pytest.mark.parametrize(("thread", "noted"), [("conv_1", "conv_new"), ("conv_other", "conv_anchor")])
async def test_an_answer_notes_the_account_of_the_thread_that_the_map_names(
    threads: RedisThreads, thread: str, noted: str
) -> None:
    entry = await entered(threads)
    assert await threads.bind(entry.hold, Thread("conv_1", 1, "conv_anchor"), 0)
    answer = Answer("text", thread=Thread(thread, 1, "conv_new"))
    assert await threads.keep_answer(entry.hold, 1, answer, published=False) == answer
    assert (await known(threads, "task-2")).anchor == noted


async def known(threads: RedisThreads, task_id: str = "task-1") -> Thread:
    thread = (await entered(threads, task_id)).thread
    assert thread is not None
    return thread


WHY = Decision("the provider refuses it", "ada on desk")


def index(redis: Client) -> RedisThreadIndex:
    return RedisThreadIndex(redis, prefix="test", engine=KEY.engine, lease=MINUTE, keep=timedelta(days=30))


async def test_a_thread_that_is_to_be_left_is_known_by_every_task_until_another_takes_its_place(
    threads: RedisThreads, redis: Redis, keys: Keys
) -> None:
    first = await entered(threads)
    old, new = Thread("conv_1", 1), Thread("conv_2", 2)
    await threads.bind(first.hold, old, 0)
    assert not await index(redis).replace(KEY, new, WHY), "the map names another"
    assert await index(redis).replace(KEY, old, WHY)
    assert await index(redis).replace(KEY, old, WHY), "the reply was lost"
    await threads.leave(first.hold, asked=False, trouble=False)

    second = await entered(threads, "task-2")
    assert second.renewal == WHY
    assert await threads.bind(second.hold, new, 1, former=old, why=WHY)
    await threads.leave(second.hold, asked=False, trouble=False)
    former = json.loads(str(await redis.hget(keys.thread, "former:conv_1")))
    assert [former[name] for name in ("provider", "id", "reason", "by", "before")] == [
        "openai",
        "conv_1",
        *astuple(WHY),
    ]
    assert (await entered(threads, "task-3")).renewal is None
    [kept] = await index(redis).threads()
    assert kept.named == (old, new), "both are erased together"


async def test_an_order_to_rewind_goes_before_one_to_renew_and_what_it_cuts_off_outlives_the_thread(
    threads: RedisThreads, redis: Redis
) -> None:
    first = await entered(threads)
    await threads.bind(first.hold, Thread("conv_1", 1), 0)
    back = replace(WHY, before=1_777_000_000_000_001)
    for _ in range(2):
        assert await index(redis).replace(KEY, Thread("conv_1", 1), back)
        assert await index(redis).replace(KEY, Thread("conv_1", 1), WHY)
    again = await entered(threads)
    assert (again.renewal, again.rewinds, again.cuts) == (back, True, ())

    cuts = (Cut(1_777_000_000_000_001, 2),)
    for _ in range(2):
        assert await threads.bind(again.hold, Thread("conv_2", 2), 1, cuts=cuts, order=again.order)
    second = await entered(threads)
    assert (second.renewal, second.rewinds, second.cuts) == (None, False, cuts)
    await threads.bind(second.hold, Thread("conv_3", 3), 2)
    assert (await entered(threads)).cuts == cuts


async def test_an_order_to_rewind_that_a_turn_has_not_seen_outlives_what_it_binds(
    threads: RedisThreads, redis: Redis
) -> None:
    seen = await entered(threads)
    await threads.bind(seen.hold, Thread("conv_1", 1), 0)
    for words in ("back", "further back"):
        assert await index(redis).replace(KEY, Thread("conv_1", 1), Decision(words, "ada", 40))
        assert not await threads.bind(seen.hold, Thread("conv_2", 2), 1, order=seen.order)
        assert await threads.renew(seen.hold)
        seen = await entered(threads)

    assert (seen.thread, seen.renewal) == (Thread("conv_1", 1), Decision("further back", "ada", 40))
    assert await threads.bind(seen.hold, Thread("conv_2", 2), 1, order=seen.order)
    assert (await entered(threads)).order == ""


async def test_the_order_that_a_thread_was_made_for_is_known_as_long_as_it_is_the_one(threads: RedisThreads) -> None:
    first = await entered(threads)
    assert first.rewound == ""
    await threads.bind(first.hold, Thread("conv_1", 1), 0, rewound="back")
    first = await entered(threads)
    assert first.rewound == "back"
    await threads.keep_answer(first.hold, 1, Answer("text", thread=Thread("conv_1", 1)), published=False, tokens=15)
    again = await threads.enter(KEY, "task-1")
    assert isinstance(again, Answered)
    assert again.rewound == "back"
    second = await entered(threads, "task-2")
    assert second.rewound == "back"
    await threads.bind(second.hold, Thread("conv_2", 2), 1)
    assert (await entered(threads, "task-2")).rewound == ""


async def test_what_a_thread_was_made_with_is_known_by_its_task_and_by_others_until_something_is_answered(
    threads: RedisThreads,
) -> None:
    first = await entered(threads)
    await threads.bind(first.hold, Thread("conv_1", 1), 0, memory="empty")
    await threads.leave(first.hold, asked=False, trouble=False)
    assert (await entered(threads)).memory == "empty"
    await threads.leave((await entered(threads)).hold, asked=False, trouble=False)
    other = await entered(threads, "task-2")
    assert other.memory == "empty"
    await threads.leave(other.hold, asked=False, trouble=False)

    first = await entered(threads)
    answer = Answer("text", thread=Thread("conv_1", 1))
    await threads.keep_answer(first.hold, 1, answer, published=False, tokens=15)
    again = await threads.enter(KEY, "task-1")
    assert isinstance(again, Answered)
    assert again.memory == "empty"
    second = await entered(threads, "task-2")
    assert second.memory is None
    await threads.bind(second.hold, Thread("conv_2", 2), 1)
    assert (await entered(threads, "task-2")).memory is None


async def test_a_decision_that_cannot_be_read_is_one(threads: RedisThreads, redis: Redis, keys: Keys) -> None:
    first = await entered(threads)
    await threads.bind(first.hold, Thread("conv_1", 1), 0)
    await redis.hset(keys.thread, "renew:conv_1", "{")

    assert (await entered(threads)).renewal == Decision("unreadable", "somebody")


@pytest.mark.parametrize("ended", ["kept", "withdrawn", "left", "died"])
async def test_a_call_of_one_task_is_known_to_others_as_long_as_it_may_run(threads: RedisThreads, ended: str) -> None:
    first = await entered(threads)
    await threads.bind(first.hold, Thread("conv_1", 1), 0)
    assert await threads.intend(first.hold, 1, MINUTE)
    if ended == "kept":
        await threads.keep_answer(first.hold, 1, Answer("Yes."), published=False)
    elif ended != "died":
        await threads.leave(first.hold, asked=ended == "left", trouble=False)
    else:
        await die(threads, first.hold)

    async def free() -> Entered | None:
        entry = await threads.enter(KEY, "task-2")
        return entry if isinstance(entry, Entered) else None

    second = await wait_until(free, what="the end of the hold")
    if ended in {"kept", "withdrawn"}:
        assert second.busy_for == timedelta(0)
    else:
        assert timedelta(seconds=50) < second.busy_for <= MINUTE
        assert second.asked is None


async def test_a_call_that_was_refused_leaves_the_times_of_those_before_it(threads: RedisThreads) -> None:
    first = await entered(threads)
    await threads.bind(first.hold, Thread("conv_1", 1), 0)
    assert await threads.intend(first.hold, 1, MINUTE)
    await threads.leave(first.hold, asked=True, trouble=True)
    again = await entered(threads)
    assert await threads.intend(again.hold, 1, 60 * MINUTE)
    await threads.leave(again.hold, asked=True, trouble=True, unpaid=True)

    after = await entered(threads)
    assert after.asked is not None
    assert after.asked.running_for <= MINUTE
    assert after.busy_for <= MINUTE
    await threads.leave(after.hold, asked=True, trouble=False)
    other = await entered(threads, "task-2")
    assert await threads.intend(other.hold, 1, 60 * MINUTE)
    await threads.leave(other.hold, asked=False, trouble=True, unpaid=True)
    assert timedelta(seconds=50) < (await entered(threads, "task-3")).busy_for <= MINUTE


# What persons ask, beside tasks


async def asks(threads: RedisThreads, ask_id: str = "ask-1") -> Entered | Answered | Busy:
    return await threads.enter(KEY, ask_id, stands_back=True)


async def test_a_task_that_was_refused_goes_before_what_persons_ask(threads: RedisThreads) -> None:
    asked = await asks(threads)
    assert isinstance(asked, Entered)
    assert await asks(threads, "ask-2") == Busy(), "it is no task, and stands before nobody"
    assert await threads.enter(KEY, "task-1") == Busy()
    assert await threads.enter(KEY, "task-2") == Busy()
    await threads.leave(asked.hold, asked=False, trouble=False)

    assert await asks(threads) == Busy()
    for task in ("task-1", "task-2"):
        entry = await entered(threads, task)
        assert await asks(threads) == Busy()
        await threads.leave(entry.hold, asked=False, trouble=False)
    assert isinstance(await asks(threads), Entered)


async def test_a_task_that_never_comes_again_is_forgotten(
    threads: RedisThreads, redis: Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "REFUSED_FOR", timedelta(milliseconds=500))
    entry = await entered(threads)
    assert await threads.enter(KEY, "task-2") == Busy()
    assert await redis.zcard(keys.refused) == 1
    await threads.leave(entry.hold, asked=False, trouble=False)

    async def entrance() -> Entered | None:
        entry = await asks(threads)
        return entry if isinstance(entry, Entered) else None

    await wait_until(entrance, what="the end of a task's mark")
    assert await redis.exists(keys.refused) == 0


async def test_a_thread_tells_who_has_it_and_how_many_answers_it_has_had(threads: RedisThreads) -> None:
    assert await threads.standing(KEY) == Standing(None, None, 0)
    entry = await entered(threads)
    await threads.bind(entry.hold, LOCAL, 0)
    held = await threads.standing(KEY)
    assert (held.holder, held.answers) == ("task-1", 0)
    assert held.since is not None
    for _ in range(2):  # a repeat after a lost reply
        await threads.keep_answer(entry.hold, 1, Answer("Yes.", thread=LOCAL), published=False)

    assert await threads.standing(KEY) == Standing(None, None, 1)
    assert (await entered(threads, "task-2")).answers == 1


async def test_a_thread_tells_what_its_next_turn_is_not_told(threads: RedisThreads, redis: Redis) -> None:
    entry = await entered(threads)
    await threads.bind(entry.hold, LOCAL, 0, cuts=[Cut(7, 1)])
    await index(redis).replace(KEY, LOCAL, Decision("stuck"))
    assert (await threads.standing(KEY)).cuts == (Cut(7, 1),)
    await index(redis).replace(KEY, LOCAL, Decision("back", "ada", 40))
    assert (await threads.standing(KEY)).cuts == (Cut(7, 1), Cut(40, LOCAL.generation + 1))


async def test_an_answer_on_a_thread_that_is_left_is_not_counted(threads: RedisThreads, redis: Redis) -> None:
    entry = await entered(threads)
    await threads.keep_answer(entry.hold, 1, Answer("Yes.", thread=LOCAL), published=False, person="Ada")
    assert await threads.standing(KEY) == Standing(None, None, 0)
    assert [name for name in await names_in(redis) if name.endswith(":thread")] == []


async def test_who_was_heard_on_a_thread_is_known_to_tasks_that_come_later(threads: RedisThreads) -> None:
    entry = await entered(threads)
    await threads.bind(entry.hold, LOCAL, 0)
    await threads.leave(entry.hold, asked=False, trouble=False)
    for ask_id, person in (("1", "Ada"), ("2", "Mary: the 😀 one"), ("3", "Ada")):
        asked = await entered(threads, ask_id)
        for _ in range(2):  # a repeat after a lost reply
            await threads.keep_answer(asked.hold, 1, Answer("Yes.", thread=LOCAL), published=False, person=person)
    heard = {"Ada": 2, "Mary: the 😀 one": 1}

    task = await entered(threads, "task-2")
    assert (task.heard, task.answers) == (heard, 3)
    await threads.bind(task.hold, Thread("own_2", 2, provider="local"), 1)
    await threads.keep_answer(task.hold, 1, Answer("So."), published=False)
    again = await threads.enter(KEY, "task-2")
    assert isinstance(again, Answered)
    assert again.heard == heard, "the new thread was told of it"


async def test_what_nobody_can_have_written_among_those_is_none(
    threads: RedisThreads, redis: Redis, keys: Keys
) -> None:
    entry = await entered(threads)
    await threads.bind(entry.hold, LOCAL, 0)
    await redis.hset(keys.thread, mapping={"answers": "many", "heard": "1", "heard:Ada": "often"})
    again = await entered(threads)
    assert (again.answers, again.heard, again.thread) == (0, {"Ada": 0}, LOCAL)
    await redis.set(keys.refused, "x")
    assert isinstance(await asks(threads, "task-1"), Entered)
    assert (await entered(threads)).thread == LOCAL


async def test_an_answer_that_cannot_be_read_leaves_the_history_of_its_thread(
    threads: RedisThreads, redis: Redis, keys: Keys
) -> None:
    entry = await entered(threads)
    await threads.bind(entry.hold, LOCAL, 0, said=[Remembered((Said("user", "Why?"),))])
    await threads.keep_answer(entry.hold, 1, Answer("Yes.", thread=LOCAL), published=False)
    await redis.hset(keys.turn("task-1"), "answer", "{")

    assert (await entered(threads)).thread == LOCAL
    assert len((await threads.history(KEY, LOCAL)).turns) == 1
