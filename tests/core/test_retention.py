"""Threads end when their process is over and their time has come; what runs is never touched."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from structlog.testing import capture_logs

from tests.core.closing import Closing
from tests.fakes.clock import now
from worker.domain.conversations import EVERYTHING, Filter, Subject
from worker.domain.threads import TASK_SCOPE, ThreadKey
from worker.ending.retention import AT_ONCE
from worker.errors import ClocksDiffer, ModelDown

DAY = timedelta(days=1).total_seconds()
ORDER_7 = Subject("default", business_key="order 7", tenants=frozenset([None]))


async def test_what_is_over_ends_once_and_what_runs_is_not_touched(closing: Closing) -> None:
    over, runs = await closing.ran("over"), await closing.speak("runs")
    done = await closing.sweep()

    assert [(key.scope, name) for key, name in done.threads] == [("over", over.id)]
    assert closing.provider.conversations.keys() == {runs.id}
    assert await closing.keys("over") == []
    assert len(await closing.keys("runs")) == 2
    found = {each.process_instance_id: each for each in await closing.sessions()}
    assert found["over"].ended_at == closing.instances.processes["over"].ended_at
    assert found["over"].thread_erased_at is not None
    assert (found["runs"].is_active, found["runs"].thread_erased_at) == (True, None)
    again = await closing.sweep()
    assert (again.threads, len(closing.provider.script.named("erase_thread"))) == ([], 1)


async def test_a_thread_is_kept_for_so_many_days_after_the_end_of_its_process(closing: Closing) -> None:
    thread = await closing.ran("instance")
    await asyncio.sleep(5 * DAY - 60)
    await closing.sweep(threads=5)
    assert thread.id in closing.provider.conversations

    await asyncio.sleep(61)
    await closing.sweep(threads=5)
    assert thread.id not in closing.provider.conversations


@pytest.mark.parametrize("ahead", [timedelta(days=4000), -timedelta(minutes=6)])
@pytest.mark.parametrize("whose", ["this worker", "the engine"])
async def test_nothing_ends_by_age_while_nobody_can_tell_what_time_it_is(
    closing: Closing, whose: str, ahead: timedelta
) -> None:
    thread, right = await closing.ran("instance"), closing.ports
    if whose == "this worker":
        closing.ports = replace(right, now=lambda: now() + ahead)
    else:
        closing.instances.clock = lambda: now() + ahead
    with pytest.raises(ClocksDiffer, match=whose):
        await closing.sweep(threads=0, record=0, kind="remove")
    assert (thread.id in closing.provider.conversations, len(await closing.texts("instance"))) == (True, 2)

    closing.ports, closing.instances.clock = right, lambda: None  # as behind a proxy that says no Date
    assert len((await closing.sweep(threads=0)).threads) == 1


async def test_a_policy_that_keeps_threads_for_ever_ends_none_and_lets_maps_run_out(closing: Closing) -> None:
    thread = await closing.ran("instance")
    [name] = [name for name in await closing.keys() if name.endswith(":thread")]
    await closing.redis.pexpire(name, 60_000)
    done = await closing.sweep(threads=None)

    assert (done.threads, thread.id in closing.provider.conversations) == ([], True)
    assert await closing.redis.pttl(name) <= 60_000


async def test_the_map_of_a_thread_that_waits_for_its_end_does_not_run_out(closing: Closing) -> None:
    await closing.speak("instance")
    [name] = [name for name in await closing.keys() if name.endswith(":thread")]
    await closing.redis.pexpire(name, 60_000)
    await closing.redis.hset("aw:default:{nobody:analyst}:thread", "instance", "nobody")
    await closing.sweep()

    assert await closing.redis.pttl(name) > 60_000
    assert await closing.redis.pttl("aw:default:{nobody:analyst}:thread") == -1, "it names no thread"


async def test_a_dry_run_says_what_would_be_done_and_changes_nothing(closing: Closing) -> None:
    thread = await closing.ran("over")
    unknown = await closing.speak("unknown")
    del closing.instances.processes["unknown"]
    before = await closing.keys()
    done = await closing.sweep(kind="remove", dry_run=True)

    ended_at = closing.instances.processes["over"].ended_at
    assert ended_at is not None
    over = {"instance": "over", "business_key": None}
    assert done.summary() == {
        "ended": [over | {"ended_at": ended_at.isoformat()}],
        "threads": [{"scope": "over", "assistant": "analyst", "tenant": None, "thread": thread.id}],
        "records": [over],
        "chats": [],
        "decisions": [],
        "held": [],
        "delayed": [],
    }
    assert closing.provider.conversations.keys() == {thread.id, unknown.id}
    assert await closing.keys() == before
    assert all(each.is_active for each in await closing.sessions())
    assert await closing.orders.missing() == {}, "nor is anybody watched"


async def test_a_dry_run_waits_for_the_time_of_what_has_just_ended(closing: Closing) -> None:
    await closing.ran("over")
    await closing.redis.flushall()
    done = await closing.sweep(threads=1, record=1, kind="anonymise", dry_run=True)
    assert (done.threads, done.records) == ([], {})
    done = await closing.sweep(threads=0, record=0, kind="anonymise", dry_run=True)
    assert ([name for _, name in done.threads], done.records) == (["conv_1"], {closing.of("over"): 1})


async def test_who_is_in_no_history_counts_as_over_after_a_day(closing: Closing) -> None:
    thread = await closing.speak("instance")
    process = closing.instances.processes.pop("instance")
    with capture_logs() as lines:
        await closing.sweep()
    assert [(each["count"], each["instances"]) for each in lines if each["event"] == "instances_missing"] == [
        (1, ["instance"])
    ]
    await asyncio.sleep(DAY - 60)
    await closing.sweep()
    assert thread.id in closing.provider.conversations

    closing.instances.processes["instance"] = process
    await closing.sweep()
    del closing.instances.processes["instance"]
    await asyncio.sleep(120)
    await closing.sweep()
    assert thread.id in closing.provider.conversations, "it was seen in between: the day begins anew"

    await asyncio.sleep(DAY)
    await closing.sweep()
    assert thread.id not in closing.provider.conversations


async def test_whom_nobody_can_read_among_the_missing_is_left_alone(closing: Closing) -> None:
    await closing.redis.zadd("aw:default:missing", {"[": 0, '[["a"], null, null]': 0, '["a", null, null, 1]': 0})
    await closing.sweep()
    assert await closing.redis.zcard("aw:default:missing") == 3
    assert await closing.orders.missing() == {}


async def test_a_look_takes_nobody_for_over_who_is_in_no_history(closing: Closing) -> None:
    await closing.speak("instance")
    del closing.instances.processes["instance"]
    assert await closing.close() == {}
    assert await closing.orders.missing() == {}


async def test_an_end_whose_time_cannot_be_read_is_none(closing: Closing) -> None:
    await closing.speak("instance")
    closing.begin("shared", business_key="order 7")
    await closing.speak("shared", scope="business-key:order 7")
    for each in closing.instances.processes.values():
        each.runs = False
    done = await closing.sweep()

    assert (done.ended, done.threads, await closing.orders.missing()) == ({}, [], {})


async def test_a_shared_thread_ends_with_the_last_of_its_tenants_instances(closing: Closing) -> None:
    for name, tenant in (("a", None), ("b", None), ("c", "north")):
        closing.begin(name, business_key="order 7", tenant=tenant)
        await closing.speak(name, scope="business-key:order 7")
    ours, theirs = closing.provider.conversations
    closing.finish("a")
    assert (await closing.sweep()).threads == []

    closing.finish("b")
    done = await closing.sweep()
    assert [name for _, name in done.threads] == [ours]
    assert done.ended.keys() == {ORDER_7}
    assert closing.provider.conversations.keys() == {theirs}


async def test_a_business_key_that_is_in_no_history_is_watched_as_well(closing: Closing) -> None:
    closing.begin("a", business_key="order 7")
    thread = await closing.speak("a", scope="business-key:order 7")
    closing.instances.processes.clear()
    await closing.sweep()
    assert (await closing.orders.missing()).keys() == {ORDER_7}

    await asyncio.sleep(DAY + 1)
    await closing.sweep()
    assert thread.id not in closing.provider.conversations


async def test_a_shared_end_that_waits_is_given_up_when_an_instance_with_the_key_runs_again(closing: Closing) -> None:
    closing.begin("a", business_key="order 7")
    thread = await closing.speak("a", scope="business-key:order 7")
    closing.finish("a")
    closing.provider.script.next("erase_thread", ModelDown("busy"))
    assert (await closing.sweep()).delayed == [(ORDER_7, "busy")]

    closing.begin("b", business_key="order 7")
    done = await closing.sweep()
    assert (done.threads, done.delayed, thread.id in closing.provider.conversations) == ([], [], True)


async def test_an_instance_that_runs_again_in_the_middle_of_a_round_keeps_its_thread(closing: Closing) -> None:
    thread = await closing.ran("instance")

    def again() -> None:
        closing.instances.processes["instance"].runs = True

    closing.instances.script.next("running", None, again)
    done = await closing.sweep()

    assert done.delayed == [(closing.of("instance"), "an instance of it runs")]
    assert thread.id in closing.provider.conversations


async def test_a_thread_of_one_task_ends_with_the_instance_that_bound_it(closing: Closing) -> None:
    thread = await closing.speak("instance", scope=f"{TASK_SCOPE}task-1")
    await closing.sweep()
    assert thread.id in closing.provider.conversations

    closing.finish("instance")
    await closing.sweep()
    assert (thread.id in closing.provider.conversations, await closing.keys()) == (False, [])


async def test_a_thread_of_one_task_that_names_no_instance_ends_by_what_the_transcript_knows(closing: Closing) -> None:
    thread = await closing.speak("instance", scope=f"{TASK_SCOPE}task-1")
    [name] = [name for name in await closing.keys() if name.endswith(":thread")]
    await closing.redis.hdel(name, "instance")
    closing.finish("instance")
    await closing.sweep()

    assert (thread.id in closing.provider.conversations, await closing.keys()) == (False, [])


async def test_what_redis_has_lost_is_ended_by_what_the_transcript_knows(closing: Closing) -> None:
    thread = await closing.ran("instance")
    await closing.redis.flushall()
    done = await closing.sweep()
    assert ([name for _, name in done.threads], closing.provider.conversations) == ([thread.id], {})


async def test_without_a_transcript_threads_end_by_what_redis_knows(closing: Closing) -> None:
    thread = await closing.ran("instance")
    closing.without_transcript()
    assert await closing.close() == {}
    done = await closing.sweep(kind="remove")
    assert ([name for _, name in done.threads], closing.provider.conversations) == ([thread.id], {})
    assert [each.is_active for each in await closing.sessions()] == [True]


async def test_ends_are_noted_some_at_a_time(closing: Closing, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(AT_ONCE + 1):
        await closing.speak("instance", assistant=f"a{number}")
    closing.finish("instance")
    end, noted = closing.transcript.end, list[int]()

    async def counted(sessions: Sequence[str], at: datetime) -> None:
        noted.append(len(sessions))
        await end(sessions, at)

    monkeypatch.setattr(closing.transcript, "end", counted)
    await closing.close()
    assert noted == [AT_ONCE, 1]
    assert (await closing.conversations.counts(Filter(active=True), within=EVERYTHING)).sessions == 0


async def test_two_engines_on_one_database_end_each_its_own(closing: Closing) -> None:
    thread = await closing.threads.create_thread(ThreadKey("south", "over", "analyst"), 1)
    for name in ("over", "runs"):
        await closing.land(name, thread, engine="south")
        closing.finish(name)
    [over] = [each.id for each in await closing.sessions() if each.process_instance_id == "over"]
    await closing.transcript.end([over], now())
    await asyncio.sleep(1)
    done = await closing.sweep(kind="remove")
    assert (done.ended, done.threads, done.records, done.delayed) == ({}, [], {}, [])
    assert sorted(each.is_active for each in await closing.sessions()) == [False, True]
    assert thread.id in closing.provider.conversations
