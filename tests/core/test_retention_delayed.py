"""What keeps a thread whose time has come, and what it keeps from others: nothing."""

import asyncio

import pytest
from structlog.testing import capture_logs

from tests.core.closing import Closing
from worker.domain.threads import Busy, ThreadKey
from worker.errors import EngineDown, ModelDown, ProviderAway, ProviderPaused, StoreDown, TranscriptDown


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
    assert len(done.records) == 3, "what the transcript says goes at its time all the same"


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
