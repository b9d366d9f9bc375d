"""A key of another account is told "not found" of everything: by that nothing is made anew, and nothing erased."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.flow.rig import Rig
from tests.flow.test_ending import at_second_step, hands, ran, recorded, responses, two_steps
from tests.waiting import wait_until
from worker import bootstrap
from worker.accounts.account import Account
from worker.domain.endings import Receipt, Status, Step, Store
from worker.domain.threads import Anchor
from worker.redis import RedisAnchors
from worker.turn import verdict

OTHER = "key-of-another-account"
ANCHORS = "assistant-worker:default:anchors:openai"
LATER = "_later"


@pytest.fixture
def kept(kept: Rig) -> Rig:
    kept.provider.accounts[OTHER] = "another"
    kept.settings |= {"retention_threads_days": 0, "retention_transcript_days": 0}
    return kept


def other_key() -> dict[str, Any]:
    return {"openai_api_key": OTHER}


def step_of(receipt: Receipt, thread: str) -> Step:
    return receipt.named[Store.PROVIDER, f"conversation {thread}"]


def is_alive(rig: Rig, thread: str) -> bool:
    return not rig.provider.conversations()[thread]["deleted"]


async def forget_anchors(rig: Rig) -> None:
    """As before anchors were noted: no store knows any, nor which account a thread is in."""
    async with rig.redis() as redis:
        await redis.delete(ANCHORS)
        async for name in redis.scan_iter("*:thread"):
            await redis.hdel(name, "anchor")
    async with bootstrap.connect(rig.build_settings()) as adapters:
        database: Any = adapters.conversations
        for statement in ("DELETE FROM anchors", "UPDATE messages SET anchor = NULL"):
            await database._database.write(lambda connection, said=statement: connection.exec_driver_sql(said))


async def of_before(kept: Rig) -> tuple[tuple[str, str], tuple[str, str]]:
    """Two instances with their threads, from before accounts were noted; the second thread is gone at the provider."""
    model = await two_steps(kept)
    worker = await kept.start_worker()
    instance, thread = await ran(kept, model)
    gone, gone_thread = await ran(kept, model)
    await worker.stop()
    kept.provider.forget(gone_thread)
    await forget_anchors(kept)
    return (instance, thread), (gone, gone_thread)


# By order


async def test_a_key_of_another_account_erases_nothing_and_says_so_until_the_right_one_is_back(kept: Rig) -> None:
    model = await two_steps(kept)
    await kept.start_worker()
    instance, thread = await ran(kept, model)
    async with hands(kept, **other_key()) as hand:
        receipt = await hand.erase(instance)

        step = step_of(receipt, thread)
        assert (receipt.completed_at, step.status) == (None, Status.OPEN)
        assert "cannot be seen with this key" in step.why
        assert "--accept-absent" in step.why
        assert any(name.endswith(":thread") for name in await hand.keys(instance)), "the id is kept"
        assert f"{thread}#1" in (await kept.rest.variables(instance)).values()
        stored = [each for each in receipt.steps if each.what.startswith("response ")]
        assert [each.status for each in stored] == [Status.OPEN, Status.OPEN]
    assert is_alive(kept, thread)
    async with hands(kept) as hand:
        [final] = await hand.eraser.resume()

        assert final.completed_at is not None
        assert {step.status for step in final.steps} == {Status.REMOVED}
        assert step_of(final, thread).count == 6  # questions, answers, and what was thought between
        assert not hand.has_thread(thread)
        assert await hand.keys(instance) == []
    assert await responses(kept) == []


@pytest.mark.parametrize("lost", ["redis", "transcript"])
async def test_either_store_alone_knows_which_account_a_thread_is_in(kept: Rig, lost: str, tmp_path: Any) -> None:
    model = await two_steps(kept)
    worker = await kept.start_worker()
    instance, thread = await ran(kept, model)
    await worker.stop()
    if lost == "redis":
        async with kept.redis() as redis:
            await redis.flushdb()
    else:
        kept.settings["transcript_url"] = f"sqlite:///{tmp_path}/empty.db"
    async with hands(kept, **other_key()) as hand:
        assert step_of(await hand.erase(instance), thread).status is Status.OPEN
    kept.provider.forget(thread)
    async with hands(kept) as hand:
        [final] = await hand.eraser.resume()
        assert step_of(final, thread).status is Status.REMOVED
        known = [anchor.id for anchor in await hand.adapters.accounts["openai"].known()]
        assert known == [*kept.provider.anchors()], "what one store has lost it has back from the other"


async def test_what_is_gone_is_called_removed_by_a_key_that_could_have_seen_it(kept: Rig) -> None:
    model = await two_steps(kept)
    await kept.start_worker()
    instance, thread = await ran(kept, model)
    kept.provider.forget(thread)
    async with hands(kept) as hand:
        receipt = await hand.erase(instance)

        assert (receipt.completed_at is not None, step_of(receipt, thread).count) == (True, 0)


async def test_a_person_may_say_that_what_cannot_be_seen_is_gone(kept: Rig) -> None:
    model = await two_steps(kept)
    await kept.start_worker()
    instance, thread = await ran(kept, model)
    async with hands(kept, **other_key()) as hand:
        await hand.erase(instance)
        [receipt] = await hand.eraser.resume(absent=True)

        step = step_of(receipt, thread)
        assert receipt.completed_at is not None
        assert (step.status, step.why) == (Status.ACCEPTED, "not seen with this key; said to be gone by a person")
        assert {each.status for each in receipt.steps} == {Status.REMOVED, Status.ACCEPTED}
        assert await hand.keys(instance) == []
        again = await hand.adapters.orders.receipt(receipt.id)
        assert again == receipt
    assert is_alive(kept, thread)


async def test_a_thread_of_before_is_erased_when_it_is_seen_and_only_then(kept: Rig) -> None:
    (instance, thread), (gone, gone_thread) = await of_before(kept)
    async with hands(kept, **other_key()) as hand:
        assert step_of(await hand.erase(instance), thread).status is Status.OPEN
    async with hands(kept) as hand:
        assert step_of(await hand.erase(gone), gone_thread).status is Status.OPEN, "nobody knows whose it was"
        receipt = await hand.erase(instance)
        assert {each.status for each in receipt.steps} == {Status.REMOVED}
        assert not hand.has_thread(thread)
        closed = await hand.erase(gone, absent=True)
        assert (closed.completed_at is not None, step_of(closed, gone_thread).status) == (True, Status.ACCEPTED)


# By age


async def test_retention_with_another_key_removes_nothing_and_goes_on_with_the_right_one(kept: Rig) -> None:
    model = await two_steps(kept)
    await kept.start_worker()
    instance, thread = await ran(kept, model)
    _, second = await ran(kept, model)
    async with hands(kept, **other_key()) as hand:
        with capture_logs() as lines:
            done = await hand.retention.sweep()

        assert len(done.delayed) == 2
        assert all("cannot be seen with this key" in why for _, why in done.delayed)
        assert len([line for line in lines if line["event"] == "end_delayed"]) == 1, "one line for all of them"
        assert any(name.endswith(":thread") for name in await hand.keys(instance))
    assert is_alive(kept, thread)
    async with hands(kept) as hand:
        done = await hand.retention.sweep()

        assert sorted(name for _, name in done.threads) == sorted([thread, second])
        assert not hand.has_thread(thread)
        assert await hand.keys() == []


async def test_retention_ends_threads_of_before_that_it_sees(kept: Rig) -> None:
    (_, thread), (_, gone) = await of_before(kept)
    async with hands(kept) as hand:
        done = await hand.retention.sweep()
        assert [name for _, name in done.threads] == [thread]
        assert len(done.delayed) == 1
        assert await responses(kept) == []

        done = await hand.retention.sweep(absent=True)
        assert [name for _, name in done.threads] == [gone]
        assert await hand.keys() == []


# In a turn


async def test_a_turn_with_another_key_stops_the_work_and_makes_nothing_anew(kept: Rig) -> None:
    worker = await kept.start_worker()
    _, instance, thread = await at_second_step(kept)
    await worker.stop()
    with capture_logs() as lines:
        worker = await kept.start_worker(**other_key(), topics=kept.topic + LATER)
        await wait_until(lambda: [line for line in lines if line["event"] == "dependency_down"], what="the alarm")
        await wait_until(lambda: len(_pings(kept)) >= 4, what="some more probes")

        alarms = [line for line in lines if line["event"] == "dependency_down"]
        assert [alarm["dependency"] for alarm in alarms] == ["provider"]
        assert "the key is of another account" in alarms[0]["reason"]
        assert "threads repair --account-changed" in alarms[0]["reason"]
        assert not [line for line in lines if line["event"] == "dependency_up" and line["dependency"] == "provider"][1:]
    [task] = await kept.rest.tasks(instance)
    assert (task["retries"], task["errorMessage"]) == (None, None)
    assert kept.calls("conversations.create") == 1
    await worker.stop()

    await kept.start_worker(topics=kept.topic + LATER)
    await kept.rest.wait_for_end(instance)
    meta = await kept.meta(instance, "decide")
    assert (meta["thread"], meta["use"]) == (thread, "reused")


def _pings(rig: Rig) -> list[Any]:
    return [each for each in rig.provider.requests("conversations.retrieve") if "conv_000000" in each["path"]]


async def test_an_account_changed_on_purpose_is_said_and_its_threads_are_made_anew_with_what_was_said(
    kept: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdict, "PAUSED_FOR", timedelta(seconds=2))
    worker = await kept.start_worker()
    _, instance, thread = await at_second_step(kept)
    await worker.stop()
    with capture_logs() as lines:
        await kept.start_worker(**other_key(), topics=kept.topic + LATER)
        await wait_until(lambda: [line for line in lines if line["event"] == "dependency_down"], what="the alarm")
    async with bootstrap.connect(kept.build_settings(**other_key())) as adapters:
        [left] = await adapters.accounts["openai"].leave()
        assert left.id in kept.provider.anchors()
    await kept.rest.wait_for_end(instance, 30)

    meta = await kept.meta(instance, "decide")
    assert (meta["use"], meta["generation"], meta["seeded"]) == ("recreated", 2, 1)
    assert kept.provider.conversations()[meta["thread"]]["account"] == "another"
    assert is_alive(kept, thread)
    await recorded(kept, instance, 2)
    async with hands(kept, **other_key()) as hand:
        receipt = await hand.erase(instance)
        assert step_of(receipt, meta["thread"]).status is Status.REMOVED
        assert step_of(receipt, thread).status is Status.OPEN, "that it was left does not erase it"


async def test_a_thread_of_before_that_is_not_found_is_its_own_tasks_trouble(kept: Rig) -> None:
    worker = await kept.start_worker()
    _, instance, thread = await at_second_step(kept)
    await worker.stop()
    await forget_anchors(kept)
    kept.provider.forget(thread)
    worker = await kept.start_worker(topics=(kept.topic, kept.topic + LATER))
    task = await kept.until_failed(instance)
    assert "nobody noted which account" in task["errorMessage"]
    assert task["retries"] == 3
    await ran(kept, await two_steps(kept))  # others go on

    async with bootstrap.connect(kept.build_settings()) as adapters:
        assert await adapters.accounts["openai"].leave() == []
    await kept.rest.wait_for_end(instance, 90)
    assert (await kept.meta(instance, "decide"))["use"] == "recreated"


async def test_a_thread_of_before_gets_its_account_noted_by_the_next_turn(kept: Rig) -> None:
    worker = await kept.start_worker()
    _, instance, thread = await at_second_step(kept)
    await worker.stop()
    await forget_anchors(kept)
    await kept.start_worker(topics=kept.topic + LATER)
    await kept.rest.wait_for_end(instance)
    await recorded(kept, instance, 2)

    async with hands(kept) as hand:
        [noted] = await hand.adapters.index.threads()
        current = await hand.adapters.accounts["openai"].current()
        assert noted.thread is not None
        assert (noted.thread.id, noted.thread.anchor) == (thread, current)
    kept.provider.forget(thread)
    async with hands(kept) as hand:
        assert step_of(await hand.erase(instance), thread).status is Status.REMOVED


async def test_redis_lost_the_thread_is_judged_by_what_the_transcript_knows_of_it(kept: Rig) -> None:
    worker = await kept.start_worker()
    _, instance, thread = await at_second_step(kept)
    await worker.stop()
    async with kept.redis() as redis:
        await redis.flushdb()
    with capture_logs() as lines:
        worker = await kept.start_worker(**other_key(), topics=kept.topic + LATER)
        await wait_until(lambda: [line for line in lines if line["event"] == "dependency_down"], what="the alarm")
    await worker.stop()
    kept.provider.forget(thread)
    await kept.start_worker(topics=kept.topic + LATER)
    await kept.rest.wait_for_end(instance, 30)
    assert (await kept.meta(instance, "decide"))["use"] == "recreated", "the right key's word counts"


async def test_an_anchor_that_was_deleted_by_hand_is_followed_by_another(kept: Rig) -> None:
    await kept.start_worker()
    _, instance, thread = await at_second_step(kept)
    [first] = kept.provider.anchors()
    kept.provider.forget(first)
    await kept.start_worker(topics=kept.topic + LATER)
    await kept.rest.wait_for_end(instance)
    assert (await kept.meta(instance, "decide"))["thread"] == thread, "the thread itself is there"

    async with hands(kept) as hand:
        new = await hand.adapters.accounts["openai"].current()
        assert new != first
        assert [anchor.id for anchor in await hand.adapters.accounts["openai"].known()] == [new, first]
        assert step_of(await hand.erase(instance), thread).status is Status.REMOVED, "what was seen is erased"


async def test_one_anchor_is_made_by_workers_that_start_together_and_one_call_a_process_is_its_price(
    kept: Rig,
) -> None:
    kept.provider.fault("anchors.create", before=0.3, times=None)
    for _ in range(4):
        await kept.start_worker()
    model = await two_steps(kept)
    instances = [await kept.rest.start(model) for _ in range(8)]
    await asyncio.gather(*map(kept.rest.wait_for_end, instances))

    alive = [name for name, each in kept.provider.anchors().items() if not each["deleted"]]
    async with kept.redis() as redis:
        assert await redis.hkeys(ANCHORS) == alive
        assert len(alive) == 1
    # One turn looks and asks; of two turns on a thread the first creates it.
    assert (kept.calls("conversations.create"), kept.calls("items.list")) == (8, 8)
    assert kept.calls("responses.create") == 16
    made, read = kept.calls("anchors.create"), kept.calls("anchors.retrieve")
    assert 1 <= made <= 4
    assert read <= 4, "at most one for each process"


# The account itself


@asynccontextmanager
async def account(rig: Rig, **settings: Any) -> AsyncIterator[Account]:
    async with bootstrap.connect(rig.build_settings(**settings)) as adapters:
        yield adapters.accounts["openai"]


async def test_of_two_accounts_each_key_finds_its_own_anchor(kept: Rig) -> None:
    async with account(kept) as ours, account(kept, **other_key()) as theirs:
        one, other = await asyncio.gather(ours.current(), theirs.current())
        assert one != other
    async with account(kept) as ours, account(kept, **other_key()) as theirs:
        assert (await ours.current(), await theirs.current()) == (one, other)
        assert {anchor.id: reads for anchor, reads in await theirs.survey()} == {one: False, other: True}
    assert len(kept.provider.anchors()) == 2


async def test_an_account_that_was_left_gets_another_anchor_when_it_is_used_again(kept: Rig) -> None:
    async with account(kept) as ours:
        first = await ours.current()
    async with account(kept, **other_key()) as theirs:
        assert [each.id for each in await theirs.leave()] == [first]
    async with account(kept) as ours:
        second = await ours.current()
        assert second != first
        assert await ours.current() == second
    async with account(kept) as ours:
        assert await ours.current() == second


async def test_no_anchor_is_made_while_a_known_one_cannot_be_asked_for(kept: Rig) -> None:
    async with account(kept) as ours:
        first = await ours.current()
    kept.provider.fault("anchors.retrieve", times=1, reply="overloaded")
    async with account(kept) as ours:
        with pytest.raises(Exception, match=r"conversations\.retrieve"):
            await ours.current()
        assert await ours.current() == first


async def test_a_script_lets_only_one_anchor_be_made_that_others_have_not_tried(kept: Rig) -> None:
    async with kept.redis() as redis:
        book = RedisAnchors(redis, prefix="p", engine="e", provider="openai")
        at = datetime(2026, 5, 4, tzinfo=UTC)
        one, two = Anchor("conv_1", at), Anchor("conv_2", at)

        assert await book.claim(one, []) == "conv_1"
        assert await book.claim(one, []) == "conv_1", "a repeat after a lost reply"
        assert await book.claim(two, []) == "conv_1"
        assert await book.claim(two, ["conv_1"]) == "conv_2"
        await book.note([Anchor("conv_1", at, left=True), Anchor("conv_2", at)])
        await book.note([Anchor("conv_1", at)])
        assert {each.id: each.left for each in (await book.anchors()).values()} == {"conv_1": True, "conv_2": False}
