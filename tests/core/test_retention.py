"""Threads end when their process is over and their time has come; what runs is never touched."""

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from tests.core.closing import Closing
from worker.domain.conversations import Subject
from worker.domain.threads import TASK_SCOPE, Busy, ThreadKey
from worker.ending import retention
from worker.errors import EngineDown, ModelDown, ProviderAway, ProviderPaused, StoreDown, TranscriptDown

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
    monkeypatch.setattr(retention, "AT_ONCE", 2)
    for name in ("analyst", "critic", "editor"):
        await closing.speak("instance", assistant=name)
    closing.finish("instance")
    await closing.close()
    assert [each.is_active for each in await closing.sessions()] == [False] * 3


# What keeps a thread, and what it keeps from others


async def test_a_thread_is_not_erased_under_a_turn_and_no_turn_starts_while_it_is(closing: Closing) -> None:
    thread = await closing.ran("instance")
    key = ThreadKey("default", "instance", "analyst")
    hold = await closing.index.reserve(key)
    assert hold is not None
    assert (await closing.sweep()).delayed == [(closing.of("instance"), "a turn runs on this thread now")]
    await closing.index.release(hold)

    closing.provider.script.next("erase_thread", 600.0)
    sweeping = asyncio.create_task(closing.sweep())
    await asyncio.sleep(300)
    assert isinstance(await closing.core.threads.enter(key, "late"), Busy), "the hold is renewed"
    await sweeping
    assert thread.id not in closing.provider.conversations


async def test_a_renewal_that_fails_does_not_stop_the_end(closing: Closing, monkeypatch: pytest.MonkeyPatch) -> None:
    thread = await closing.ran("instance")
    renew, failed = closing.index.renew, list[str]()

    async def once(*args: object) -> bool:
        if not failed:
            failed.append("renewal")
            raise StoreDown("a moment")
        return await renew(*args)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(closing.index, "renew", once)
    closing.provider.script.next("erase_thread", 60.0)
    done = await closing.sweep()

    assert (failed, done.delayed, await closing.keys()) == (["renewal"], [], [])
    assert thread.id not in closing.provider.conversations


async def test_an_end_that_lost_its_hold_leaves_the_keys_and_is_done_again(closing: Closing) -> None:
    await closing.ran("instance")

    async def lose() -> None:
        [name] = [name for name in await closing.keys() if name.endswith(":hold")]
        await closing.redis.delete(name)

    closing.provider.script.next("erase_thread", lose)
    assert "hold on a thread was lost" in (await closing.sweep()).delayed[0][1]
    assert [each.thread_erased_at for each in await closing.sessions()] == [None]
    assert len(await closing.keys()) == 2

    done = await closing.sweep()
    assert (len(done.threads), done.delayed, await closing.keys()) == (1, [], [])


@pytest.mark.parametrize("trouble", [ModelDown("busy"), KeyError("a secret")])
async def test_one_thread_that_cannot_end_holds_up_no_other(closing: Closing, trouble: Exception) -> None:
    for name in ("a", "b", "c"):
        await closing.ran(name)
    closing.provider.script.next("erase_thread", None, trouble)
    with capture_logs() as lines:
        done = await closing.sweep()

    assert ([key.scope for key, _ in done.threads], len(done.delayed)) == (["a", "c"], 1)
    assert [each["what"] for each in lines if each["event"] == "end_delayed"] == ["b"]
    assert "secret" not in str(lines) + str(done)


@pytest.mark.parametrize("trouble", [ProviderAway("away"), ProviderPaused("paused"), EngineDown("gone")])
async def test_what_would_be_the_same_for_all_is_tried_with_one(closing: Closing, trouble: Exception) -> None:
    for name in ("a", "b", "c"):
        await closing.ran(name)
    closing.provider.script.always("erase_thread", trouble)
    done = await closing.sweep(kind="anonymise")

    assert len(closing.provider.script.named("erase_thread")) == len(done.delayed) == 1
    assert len(done.records) == 3, "what the record says goes at its time all the same"


async def test_an_engine_that_cannot_be_asked_ends_nothing(closing: Closing) -> None:
    thread = await closing.ran("instance")
    closing.instances.script.next("running", EngineDown("away"))
    with pytest.raises(EngineDown):
        await closing.sweep()
    assert thread.id in closing.provider.conversations
    assert [each.is_active for each in await closing.sessions()] == [True]


async def test_a_transcript_that_is_down_ends_nothing(closing: Closing) -> None:
    thread = await closing.ran("instance")
    closing.database.refuse("it is damaged")
    with pytest.raises(TranscriptDown):
        await closing.sweep()
    assert thread.id in closing.provider.conversations


async def test_what_a_newer_worker_wrote_is_left_to_it(closing: Closing) -> None:
    for name in ("map", "turn", "sound"):
        await closing.ran(name)
    await closing.redis.hset("aw:default:{map:analyst}:thread", "schema", "2")
    [turn] = await closing.keys("turn:analyst}:turn:")
    await closing.redis.hset(turn, "schema", "2")
    done = await closing.sweep()

    assert [key.scope for key, _ in done.threads] == ["sound"]
    assert {subject.instance: "newer worker" in why for subject, why in done.delayed} == {"map": True, "turn": True}
    assert len(closing.provider.conversations) == 2


async def test_only_this_engines_threads_are_seen(closing: Closing) -> None:
    await closing.ran("instance")
    await closing.redis.hset("aw:south:{instance:analyst}:thread", "id", "conv_x")
    found = await closing.index.threads()
    assert [each.key for each in found] == [ThreadKey("default", "instance", "analyst")]
