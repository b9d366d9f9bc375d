"""A worker beside a newer one, as in a rolling update: what only that one can read waits for it, and costs nothing."""

import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.flow.command import assistant_worker, environment
from tests.flow.rig import Rig
from tests.flow.test_ending import hands, ran, two_steps
from tests.waiting import wait_until
from worker.domain.endings import Store
from worker.domain.threads import Answer, Thread, ThreadKey
from worker.redis.formats import dump
from worker.redis.keys import Keys
from worker.turn import verdict


@pytest.mark.parametrize("validation", ["strict", "optimistic"])
async def test_a_task_whose_journal_is_a_newer_workers_is_parked_and_done_when_it_can_be_read(
    rig: Rig, validation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdict, "PARKED_FOR", verdict.PARKED_FOR / 30)
    instance = await rig.rest.start(await rig.deploy(rig.step("frame")))
    task = await rig.until_open(instance, "frame")
    turn = Keys.of("assistant-worker", ThreadKey("default", instance, "analyst")).turn(task["id"])
    record = json.loads(dump(Answer("The newer one's answer.", thread=Thread("conv_1", 1))))
    written: dict[Any, Any] = {
        "state": "answered",
        "attempt": "1",
        "answer": json.dumps(record | {"schema": 2}),
        "mood": "new",
    }
    async with rig.redis() as redis:
        await redis.hset(turn, mapping=written)
        turns = await parked(rig, thread_validation=validation)
        assert {(each["verdict"], each["reason"], each.get("retries")) for each in turns} == {
            ("park", "newer record", None)
        }
        assert "Update this worker" in turns[0]["error"]
        assert await redis.hgetall(turn) == written
        [left] = await rig.rest.tasks(instance)
        assert (left["retries"], left["errorMessage"]) == (None, None)

        await redis.hset(turn, "answer", json.dumps(record | {"tone": "calm"}))
        await rig.rest.wait_for_end(instance, 40)

    assert (await rig.rest.variables(instance))["frame"] == "The newer one's answer."
    assert rig.questions() == []
    assert rig.calls("conversations.create") == 0


async def parked(rig: Rig, **settings: Any) -> list[Any]:
    """Start a worker that stays, and return its turns once it has had the task twice."""
    with capture_logs() as captured:
        await rig.start_worker(**settings)

        def twice() -> list[Any]:
            turns = [each for each in captured if each["event"] == "turn"]
            return turns if len(turns) >= 2 else []

        turns = await wait_until(twice, 40, "the task to be parked twice")
    assert [each for each in captured if each["event"] == "dependency_down"] == []
    assert len([each for each in captured if each["event"] == "record_newer"]) >= len(turns)
    return turns


async def test_an_order_to_erase_leaves_a_newer_workers_turn_and_says_so_until_it_can_be_read(kept: Rig) -> None:
    await kept.start_worker()
    instance, thread = await ran(kept, await two_steps(kept))
    async with hands(kept) as hand, kept.redis() as redis:
        name = next(each for each in await hand.keys(instance) if ":turn:" in each)
        await redis.hset(name, "schema", "2")
        before = await hand.keys(instance)

        receipt = await hand.erase(instance)
        listed = await assistant_worker(environment(kept), "threads", "repair", "--json")

        assert receipt.completed_at is None
        assert "newer worker" in next(step.why for step in receipt.open if step.store is Store.REDIS)
        assert await hand.keys(instance) == before
        assert hand.has_thread(thread), "the newer one may still speak on it"
        assert [each["done"] for each in listed.json] == ["left to the newer worker that wrote it"]

        await redis.hdel(name, "schema")
        [final] = await hand.eraser.resume()
        assert final.completed_at is not None
        assert await hand.keys(instance) == []
        assert not hand.has_thread(thread)


async def test_retention_waits_for_a_newer_workers_turn(kept: Rig) -> None:
    kept.settings |= {"retention_threads_days": 0, "retention_transcript_days": 0, "retention_transcript": "remove"}
    await kept.start_worker()
    instance, thread = await ran(kept, await two_steps(kept))
    async with hands(kept) as hand, kept.redis() as redis:
        name = next(each for each in await hand.keys(instance) if ":turn:" in each)
        await redis.hset(name, "schema", "2")

        done = await hand.retention.sweep()

        assert done.threads == []
        assert any("newer worker" in why for _, why in done.delayed)
        assert hand.has_thread(thread)
        assert len(await hand.texts(instance)) == 4
