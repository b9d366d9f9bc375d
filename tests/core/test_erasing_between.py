"""What may come between an order to erase and its end: instances, turns, exchanges, outages, other orders."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from tests.core.closing import Closing, exchange, open_in
from tests.fakes.clock import now
from worker.domain.conversations import Limits, MessageFilter, Stored
from worker.domain.endings import Receipt, Status, Store
from worker.domain.exchanges import TRANSCRIPT
from worker.domain.threads import Answer, Busy, Hold, Question, Thread, ThreadKey
from worker.ending.case import LOOK
from worker.ending.erasing import LANDING_TIME
from worker.ending.stores import LATE, LATE_AND_OFF, Messages
from worker.errors import EngineDown, ModelDown, StoreDown, TranscriptDown
from worker.redis import RedisOutbox
from worker.telemetry import metrics
from worker.turn.recorder import Carrier


async def test_an_instance_that_runs_again_keeps_what_is_left(closing: Closing) -> None:
    thread = await closing.ran("instance")
    closing.provider.script.next("erase_thread", ModelDown("busy"))
    await closing.erase("instance")
    closing.instances.processes["instance"].runs = True
    [receipt] = await closing.resume()

    assert {step.why for step in receipt.open} == {"an instance of it runs"}
    assert (Store.ENGINE, LOOK) in open_in(receipt)
    assert thread.id in closing.provider.conversations
    closing.finish("instance")
    [final] = await closing.resume()
    assert (final.completed_at is not None, final.open, closing.provider.conversations) == (True, (), {})


async def test_an_order_with_results_that_was_forced_waits_for_who_runs_again(closing: Closing) -> None:
    thread = await closing.ran("instance")

    def again() -> None:
        closing.instances.processes["instance"].runs = True

    closing.instances.script.next("running", None, again)
    receipt = await closing.erase("instance", force=True, results=True)
    assert (receipt.completed_at, thread.id in closing.provider.conversations) == (None, True)


async def test_an_engine_that_goes_away_keeps_what_is_left_and_is_said(closing: Closing) -> None:
    thread = await closing.ran("instance")
    closing.instances.script.next("running", None, EngineDown("away"))
    receipt = await closing.erase("instance")
    assert ({step.why for step in receipt.open}, thread.id in closing.provider.conversations) == ({"away"}, True)


async def test_a_thread_is_not_erased_under_a_turn_and_its_neighbour_is(closing: Closing) -> None:
    one, other = await closing.speak("instance"), await closing.speak("instance", assistant="critic")
    closing.finish("instance")
    hold = await closing.index.reserve(ThreadKey("default", "instance", "analyst"))
    assert isinstance(hold, Hold)
    receipt = await closing.erase("instance")
    assert {name for (_, name), why in open_in(receipt).items() if "a turn runs" in why} == {
        f"conversation {one.id}",
        "instance analyst",
    }
    assert closing.provider.conversations.keys() == {one.id}
    assert other.id != one.id

    await closing.index.release(hold)
    [final] = await closing.resume()
    assert (final.open, closing.provider.conversations, await closing.keys()) == ((), {}, [])


async def test_no_turn_starts_while_a_thread_is_erased(closing: Closing) -> None:
    await closing.ran("instance")
    closing.provider.script.next("erase_thread", 600.0)
    erasing_it = asyncio.create_task(closing.erase("instance"))
    await asyncio.sleep(300)
    entry = await closing.core.threads.enter(ThreadKey("default", "instance", "analyst"), "late")
    assert isinstance(entry, Busy)
    assert (await erasing_it).completed_at is not None


@pytest.mark.parametrize("trouble", [ModelDown("busy"), KeyError("a secret")])
async def test_one_broken_thread_holds_up_no_other(closing: Closing, trouble: Exception) -> None:
    one, other = await closing.speak("instance"), await closing.speak("instance", assistant="critic")
    closing.finish("instance")
    closing.provider.script.next("erase_thread", trouble)
    receipt = await closing.erase("instance")
    assert len(closing.provider.conversations) == 1
    assert sorted(name for store, name in open_in(receipt) if store is Store.REDIS) in (
        ["instance analyst"],
        ["instance critic"],
    )
    assert "secret" not in str(receipt)
    assert one.id != other.id


async def test_keys_that_nobody_can_work_with_hold_up_no_other_thread(closing: Closing) -> None:
    one, other = await closing.speak("instance"), await closing.speak("instance", assistant="critic")
    closing.finish("instance")
    await closing.rest()
    await closing.redis.set("aw:default:{instance:analyst}:hold", "no hash")
    receipt = await closing.erase("instance")

    assert closing.provider.conversations.keys() == {one.id}
    assert "cannot work with what is there" in open_in(receipt)[Store.PROVIDER, f"conversation {one.id}"]
    assert (await closing.texts("instance"), other.id != one.id) == ([], True)


async def test_a_hold_that_is_lost_leaves_the_keys_and_the_order_is_done_again(closing: Closing) -> None:
    await closing.ran("instance")
    closing.provider.script.next("erase_thread", lambda: closing.redis.delete("aw:default:{instance:analyst}:hold"))
    receipt = await closing.erase("instance")
    assert "was lost" in open_in(receipt)[Store.REDIS, "instance analyst"]
    [final] = await closing.resume()
    assert (final.completed_at is not None, await closing.keys()) == (True, [])
    [conversation] = [step for step in final.steps if step.store is Store.PROVIDER]
    assert conversation.count == 2, "as was noted at first, though the map named it still"


async def test_a_redis_that_goes_down_ends_the_order_for_now(closing: Closing, monkeypatch: pytest.MonkeyPatch) -> None:
    await closing.ran("instance")
    keep = closing.orders.keep

    async def down(_: Receipt) -> None:
        raise StoreDown("Redis is away")

    async def first(receipt: Receipt) -> None:
        monkeypatch.setattr(closing.orders, "keep", down)
        await keep(receipt)

    monkeypatch.setattr(closing.orders, "keep", first)
    with pytest.raises(StoreDown):
        await closing.erase("instance")
    monkeypatch.setattr(closing.orders, "keep", keep)
    [final] = await closing.resume()
    assert (final.completed_at is not None, closing.provider.conversations) == (True, {})


async def test_an_order_is_kept_before_anything_is_looked_for(
    closing: Closing, monkeypatch: pytest.MonkeyPatch
) -> None:
    await closing.ran("instance")

    async def down() -> None:
        raise StoreDown("a moment")

    with monkeypatch.context() as patch:
        patch.setattr(closing.index, "threads", down)
        with pytest.raises(StoreDown):
            await closing.erase("instance")
    [final] = await closing.resume()
    assert (final.completed_at is not None, closing.provider.conversations) == (True, {})


async def test_a_thread_that_was_made_since_we_looked_is_erased_as_well(closing: Closing) -> None:
    old = await closing.ran("instance")
    new = await closing.threads.create_thread(ThreadKey("default", "instance", "analyst"), 2)

    async def remade() -> None:
        await closing.redis.hset("aw:default:{instance:analyst}:thread", "id", new.id)

    closing.instances.script.next("traces", remade)
    receipt = await closing.erase("instance")
    assert receipt.completed_at is not None
    assert {old.id, new.id} & closing.provider.conversations.keys() == set()
    assert receipt.named[Store.PROVIDER, f"conversation {new.id}"].status is Status.REMOVED
    assert await closing.keys() == []


async def test_an_exchange_on_its_way_to_the_transcript_is_looked_for_once_more(closing: Closing) -> None:
    thread = await closing.speak("instance", recorded=False)
    closing.finish("instance")
    receipt = await closing.erase("instance")
    assert (receipt.open, receipt.completed_at, await closing.keys()) == ((), None, [])
    assert receipt.look_again_at is not None

    await closing.land("instance", thread)
    await asyncio.sleep(LANDING_TIME.total_seconds() - 1)
    # Whatever another worker's clock says.
    closing.ports = replace(closing.ports, now=lambda: now() + timedelta(hours=1))
    [waits] = await closing.resume()
    assert (waits.completed_at, await closing.texts("instance")) == (None, [])
    await closing.land("instance", thread)
    await asyncio.sleep(1)
    [final] = await closing.resume()
    assert (final.completed_at is not None, final.look_again_at, await closing.texts("instance")) == (True, None, [])
    assert final.named[Store.TRANSCRIPT, Messages.what].count == 4


async def test_an_answer_that_may_come_while_a_thread_is_erased_is_looked_for_once_more(closing: Closing) -> None:
    key = await closing.running_call("instance")
    closing.finish("instance")
    receipt = await closing.erase("instance")
    assert (receipt.open, receipt.completed_at, receipt.look_again_at is None) == ((), None, False)

    await closing.land("instance", None)
    await asyncio.sleep(LANDING_TIME.total_seconds())
    [final] = await closing.resume()
    assert (final.completed_at is not None, await closing.texts(key.scope)) == (True, [])


@pytest.mark.parametrize("forgotten", [False, True])
@pytest.mark.parametrize("way", ["at once", "from memory"])
async def test_an_answer_that_comes_after_its_thread_was_erased_is_kept_nowhere(
    closing: Closing, way: str, forgotten: bool
) -> None:
    key = await closing.running_call("instance")
    closing.finish("instance")
    said = exchange(key, "task of instance", "instance", Thread("conv_1", 1), None, None)
    carrier = Carrier(RedisOutbox(closing.redis, prefix="aw", engine="default"), closing.transcript)
    if way == "from memory":  # Redis was away, and may have forgotten the call and the hold
        carrier.keep(said)
    if forgotten:
        await closing.redis.delete(*await closing.keys(":turn"))
    await closing.erase("instance")
    await asyncio.sleep(LANDING_TIME.total_seconds())
    await closing.resume()
    if way == "at once":
        hold, answer = Hold(key, "task of instance", "that ran out"), Answer("answer", thread=Thread("conv_1", 1))
        kept = await closing.core.threads.keep_answer(hold, 1, answer, published=False, exchange=said)
        assert kept == answer
    await carrier.drain()

    assert (await closing.texts("instance"), await closing.keys()) == ([], [])
    assert await RedisOutbox(closing.redis, prefix="aw", engine="default").backlog(TRANSCRIPT) == 0


async def test_what_is_said_after_a_thread_was_erased_is_recorded(closing: Closing) -> None:
    await closing.speak("instance")
    await closing.erase("instance", force=True)
    await closing.speak("instance", recorded=False)
    await recorded(closing)
    assert await closing.texts("instance") == ["question", "answer"]


async def test_a_response_that_only_the_journal_names_goes_with_its_thread(closing: Closing) -> None:
    thread = await closing.speak("instance", recorded=False, stored=True)
    closing.begin("instance").variables.clear()  # the task is not completed yet, or another one has the same result
    closing.finish("instance")
    [response] = closing.provider.responses
    receipt = await closing.erase("instance")
    assert receipt.named[Store.PROVIDER, f"response {response}"].anchor == thread.anchor
    assert (receipt.open, closing.provider.responses) == ((), {})


async def test_a_thread_that_ends_by_age_takes_along_what_only_the_journal_names(closing: Closing) -> None:
    await closing.speak("instance", recorded=False, stored=True)
    closing.finish("instance")
    done = await closing.sweep()
    assert (len(done.threads), closing.provider.responses) == (1, {})


async def late(closing: Closing) -> str:
    """Have an ended instance whose words on a shared thread wait for the transcript; returns the turn's key."""
    closing.begin("instance", business_key="order 7")
    await closing.speak("instance", scope="business-key:order 7", recorded=False)
    closing.finish("instance")
    [turn] = await closing.keys("order%207:analyst}:turn")
    return turn


async def recorded(closing: Closing) -> None:
    await Carrier(RedisOutbox(closing.redis, prefix="aw", engine="default"), closing.transcript).drain()


async def changed(closing: Closing, turn: str, change: dict[str, object]) -> None:
    exchange = json.loads(str(await closing.redis.hget(turn, "exchange:1")))
    await closing.redis.hset(turn, "exchange:1", json.dumps(exchange | change))


async def test_what_was_said_on_a_shared_thread_and_is_on_its_way_keeps_the_order_open(closing: Closing) -> None:
    await late(closing)
    [thread] = closing.provider.conversations
    receipt = await closing.erase("instance")
    assert open_in(receipt) == {(Store.TRANSCRIPT, LOOK): LATE}

    await recorded(closing)
    assert await closing.texts("instance") == ["question", "answer"]
    [final] = await closing.resume()
    assert (final.completed_at is not None, await closing.texts("instance")) == (True, [])
    assert thread in closing.provider.conversations


async def test_behind_more_than_is_looked_at_what_is_on_its_way_keeps_the_order_open(
    closing: Closing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.redis.index.MOST_WAITING", 1)
    await closing.speak("other", recorded=False)
    await late(closing)
    receipt = await closing.erase("instance")
    assert open_in(receipt) == {(Store.TRANSCRIPT, LOOK): LATE}

    await recorded(closing)
    [final] = await closing.resume()
    assert (final.completed_at is not None, await closing.texts("instance")) == (True, [])


@pytest.mark.parametrize("change", [{"schema": 3}, {"outcome": "new"}])
async def test_what_only_a_newer_worker_can_read_may_be_on_its_way(closing: Closing, change: dict[str, object]) -> None:
    await changed(closing, await late(closing), change)
    receipt = await closing.erase("instance")
    assert open_in(receipt) == {(Store.TRANSCRIPT, LOOK): LATE}


async def test_what_comes_to_the_transcript_while_we_look_keeps_the_order_open(
    closing: Closing, monkeypatch: pytest.MonkeyPatch
) -> None:
    await late(closing)
    stored = closing.conversations.stored

    async def then_it_comes(wanted: MessageFilter, *, within: Limits) -> Stored:
        found = await stored(wanted, within=within)
        await recorded(closing)
        return found

    monkeypatch.setattr(closing.conversations, "stored", then_it_comes)
    receipt = await closing.erase("instance")
    assert open_in(receipt) == {(Store.TRANSCRIPT, LOOK): LATE}


async def test_a_worker_without_a_transcript_says_what_brings_there_what_waits(closing: Closing) -> None:
    await late(closing)
    closing.without_transcript()
    receipt = await closing.erase("instance")
    assert open_in(receipt) == {(Store.TRANSCRIPT, LOOK): LATE_AND_OFF}


async def test_what_is_spoilt_in_redis_stops_no_order(closing: Closing) -> None:
    await changed(closing, await late(closing), {"process_instance_id": ["instance"]})
    receipt = await closing.erase("instance")
    assert receipt.completed_at is not None


async def test_a_run_in_the_background_is_cancelled_with_its_thread(closing: Closing) -> None:
    await closing.running_call("instance", "resp_run")
    closing.provider.runs["resp_run"] = ("conv_1", Question("what?", "0" * 12))
    closing.finish("instance")
    receipt = await closing.erase("instance")
    assert (receipt.open, await closing.keys()) == ((), [])
    assert closing.provider.script.named("cancel") == [("resp_run",)]


async def test_two_who_carry_one_order_out_at_once_leave_nothing(closing: Closing) -> None:
    thread = await closing.speak("instance", stored=True)
    closing.finish("instance")
    closing.provider.script.next("erase_thread", 5.0)
    both = await asyncio.gather(closing.erase("instance"), closing.erase("instance"))
    await closing.resume()

    assert any("a turn runs" in step.why for receipt in both for step in receipt.open)
    final = await closing.orders.receipt(both[0].id)
    assert final is not None
    assert (final.completed_at is not None, final.open, await closing.orders.open_orders()) == (True, (), [])
    assert thread.id not in closing.provider.conversations
    assert (closing.provider.responses, await closing.keys(), await closing.texts("instance")) == ({}, [], [])
    assert set(closing.begin("instance").variables) == {"frame"}


# Open orders


async def test_one_broken_order_holds_up_no_other(closing: Closing) -> None:
    thread = await closing.ran("instance")
    closing.provider.script.next("erase_thread", ModelDown("busy"))
    receipt = await closing.erase("instance")
    await closing.redis.hset("aw:default:erasures", "000000000000", "{}")
    odd = replace(receipt, id="1" * 12, instance=[{}])  # type: ignore[arg-type]  # as somebody may have written it
    await closing.orders.keep(odd)
    with capture_logs() as lines:
        done = await closing.resume()

    assert [each.id for each in done if each.completed_at is not None] == [receipt.id]
    assert thread.id not in closing.provider.conversations
    assert [each["what"] for each in lines if each["event"] == "end_delayed"] == [
        f"order {'0' * 12}",
        f"order {'1' * 12}",
    ]
    assert await closing.orders.open_orders() == ["0" * 12, "1" * 12]
    assert metrics.ERASURES_OPEN._value.get() == 2


async def test_an_order_that_somebody_else_has_completed_meanwhile_is_passed_over(
    closing: Closing, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def seen_too_late() -> list[str]:
        return ["f" * 12]

    monkeypatch.setattr(closing.orders, "open_orders", seen_too_late)
    assert await closing.resume() == []


async def test_a_transcript_that_is_down_is_said_and_the_rest_goes(
    closing: Closing, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = await closing.ran("instance")

    async def down(*_: object) -> None:
        raise TranscriptDown("away")

    remove = closing.transcript.remove
    monkeypatch.setattr(closing.transcript, "remove", down)
    receipt = await closing.erase("instance")
    assert open_in(receipt) == {(Store.TRANSCRIPT, Messages.what): "away"}
    assert (thread.id in closing.provider.conversations, await closing.keys()) == (False, [])
    monkeypatch.setattr(closing.transcript, "remove", remove)
    [final] = await closing.resume()
    assert (final.completed_at is not None, await closing.texts("instance")) == (True, [])


async def test_without_a_transcript_the_rest_goes(closing: Closing) -> None:
    await closing.ran("instance")
    closing.without_transcript()
    receipt = await closing.erase("instance")
    assert (receipt.completed_at is not None, closing.provider.conversations, await closing.keys()) == (True, {}, [])
    assert Store.TRANSCRIPT not in {step.store for step in receipt.steps}
