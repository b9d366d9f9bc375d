"""Records of decisions: how long they are kept, and what a legal hold keeps."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from tests.core.closing import Closing, open_in
from tests.fakes.clock import now
from tests.unit.decisions.examples import said
from worker.decisions import chain, record
from worker.decisions.verifying import verify
from worker.domain.conversations import EVERYTHING, Role, message_id
from worker.domain.decisions import Decision, DecisionKey
from worker.domain.endings import Store
from worker.ending import Holds
from worker.ending.rounds import Kind
from worker.errors import EngineDown
from worker.telemetry import metrics

DAY = timedelta(days=1).total_seconds()


async def decide(closing: Closing, instance: str, cited: str = "") -> DecisionKey:
    """Keep a record of an instance that runs. What a task was answered is `cited`."""
    closing.begin(instance)
    key = DecisionKey(closing.engine, instance)
    last = await closing.decisions.last(key)
    before = last.record if last else None
    text = {"dissent": [{"who": "Sales", "text": f"Wait, for the time {len(last.rows) if last else 0}."}]}
    answer = {
        "answer": message_id(closing.engine, cited, 1, Role.AGENT),
        "question": message_id(closing.engine, cited, 1, Role.USER),
    }
    where = {"instance": instance, "definition": "d:1:d"} | (answer if cited else {})
    items = [replace(each, source={**each.source, **where}) for each in said(dissent=text)]
    made = record.build(key.id, items, "computed", before=before, samples=100)
    row = chain.row("change", last.rows[-1] if last else None, made, now(), record.facts(made))
    assert await closing.decisions.keep(key, made, row, definition_key="decision", business_key=None)
    return key


async def kept(closing: Closing, key: DecisionKey) -> Decision | None:
    return await closing.decisions.last(key)


async def test_a_record_is_kept_for_ever_unless_the_policy_says_otherwise(closing: Closing) -> None:
    key = await decide(closing, "instance")
    closing.finish("instance")
    await asyncio.sleep(30 * DAY)

    assert (await closing.sweep()).decisions == []
    assert await kept(closing, key) is not None


async def test_a_record_goes_so_long_after_the_end_of_its_instance(closing: Closing) -> None:
    key, runs = await decide(closing, "instance"), await decide(closing, "another")
    sweep = partial(closing.sweep, decisions=5)
    await asyncio.sleep(10 * DAY)
    closing.finish("instance")
    assert (await sweep()).decisions == []
    await asyncio.sleep(5 * DAY + 60)

    assert (await sweep(dry_run=True)).decisions == [key.id]
    assert await kept(closing, key) is not None, "it was only looked at"
    assert (await sweep()).decisions == [key.id]
    assert await kept(closing, key) is None
    assert (await sweep()).decisions == []
    assert await kept(closing, runs) is not None


async def test_a_record_that_was_written_to_lately_stays(closing: Closing) -> None:
    key = await decide(closing, "instance")
    closing.finish("instance")
    await closing.close()
    await asyncio.sleep(5 * DAY)
    await decide(closing, "instance")  # whoever said that it was over has not seen this
    process = closing.begin("instance")
    process.runs, process.ended_at = True, None
    await asyncio.sleep(6 * DAY)
    assert (await closing.sweep(decisions=5)).decisions == []
    closing.finish("instance")
    await asyncio.sleep(5 * DAY + 60)

    assert (await closing.sweep(decisions=5)).decisions == [key.id]


async def test_a_record_of_an_instance_that_no_history_knows_goes_once_that_was_so_for_a_day(closing: Closing) -> None:
    key = await decide(closing, "instance")
    del closing.instances.processes["instance"]
    await asyncio.sleep(10 * DAY)
    assert (await closing.sweep(decisions=1)).decisions == [], "the engine may be mixed up"
    await asyncio.sleep(DAY + 60)

    assert (await closing.sweep(decisions=1)).decisions == [key.id]


async def test_without_the_engine_nothing_is_removed(closing: Closing, monkeypatch: Any) -> None:
    key = await decide(closing, "instance")
    closing.finish("instance")
    await closing.close()
    await asyncio.sleep(2 * DAY)

    async def away(*_: object) -> frozenset[str]:
        raise EngineDown("away")

    monkeypatch.setattr(closing.instances, "running", away)
    with pytest.raises(EngineDown):
        await closing.sweep(decisions=1)
    assert await kept(closing, key) is not None


async def test_an_order_waits_for_a_hold_says_so_and_is_carried_out_once_it_is_lifted(closing: Closing) -> None:
    thread = await closing.speak("instance")
    key = await decide(closing, "instance", cited="task-1")
    closing.finish("instance")
    holds = Holds(closing.decisions, now=now)
    assert await holds.hold(key.id, "Ann", "claim", within=EVERYTHING)
    receipt = await closing.erase("instance")

    assert receipt.completed_at is None
    assert open_in(receipt) == {
        (Store.TRANSCRIPT, "decisions' texts"): f"held: decision {key.id} is on legal hold; once `decisions release` "
        "has lifted it, this is erased",
        (Store.TRANSCRIPT, "sessions, messages and feedback"): "held: 2 messages are cited by decisions on legal hold "
        "(`decisions list` shows which); released, this is erased",
    }
    assert thread.id not in closing.provider.conversations, "what the hold does not cover goes"
    assert await closing.texts("instance") == ["question", "answer"]
    [again] = await closing.resume()
    assert open_in(again) == open_in(receipt)
    assert (metrics.ERASURES_OPEN._value.get(), metrics.ERASURES_HELD._value.get()) == (0, 1)

    assert await holds.release(key.id, "Ben", "settled", within=EVERYTHING)
    [done] = await closing.resume()
    assert done.completed_at is not None
    assert metrics.ERASURES_HELD._value.get() == 0
    assert await closing.texts("instance") == []
    left = await kept(closing, key)
    assert left is not None
    assert not left.record["texts"]
    assert verify(left.record, left.rows).problems == []


@pytest.mark.parametrize("kind", ["anonymise", "remove"])
async def test_a_round_tells_whose_words_a_hold_keeps_and_takes_them_later(closing: Closing, kind: Kind) -> None:
    await closing.speak("instance")
    key = await decide(closing, "instance", cited="task-1")
    closing.finish("instance")
    holds = Holds(closing.decisions, now=now)
    assert await holds.hold(key.id, "Ann", "claim", within=EVERYTHING)

    done = await closing.sweep(kind=kind)
    assert (done.held, done.records, done.delayed) == ({closing.of("instance"): 1}, {}, [])
    assert await closing.texts("instance") == ["question", "answer"]
    assert await holds.release(key.id, "Ben", "settled", within=EVERYTHING)
    done = await closing.sweep(kind=kind)
    assert (done.held, done.records) == ({}, {closing.of("instance"): 1})


async def test_a_record_on_hold_outlives_its_time(closing: Closing) -> None:
    key = await decide(closing, "instance")
    closing.finish("instance")
    holds = Holds(closing.decisions, now=now)
    assert await holds.hold(key.id, "Ann", "claim", within=EVERYTHING)
    await asyncio.sleep(3 * DAY)
    assert (await closing.sweep(decisions=1)).decisions == []
    assert await holds.release(key.id, "Ben", "settled", within=EVERYTHING)

    assert (await closing.sweep(decisions=1)).decisions == [key.id]
