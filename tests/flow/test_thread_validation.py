"""What validation of a thread is told, and what it tells: a timeout is no word on the thread, a recreation is said."""

import json
from datetime import timedelta

import pytest

from tests.flow.rig import Rig
from tests.waiting import wait_until
from worker.providers import openai
from worker.telemetry import logs


async def at_step_two(rig: Rig) -> str:
    """An instance that has a thread and waits at step two, whose topic nobody serves."""
    model = await rig.deploy(rig.step("one"), rig.step("two", topic=rig.topic + "_two"))
    await rig.start_worker()
    instance = await rig.rest.start(model)
    await rig.until_open(instance, "two")
    await rig.workers[0].stop()
    return instance


async def test_a_validation_that_gets_no_answer_in_time_makes_no_new_thread(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = await at_step_two(rig)
    async with rig.redis() as redis:
        [name] = await redis.keys("*:thread")
        before = await redis.hgetall(name)
        monkeypatch.setattr(openai, "SHORT_CALL", timedelta(seconds=0.5))
        rig.provider.fault("items.list", before=30.0)
        await rig.start_worker(topics=rig.topic + "_two")
        task = await rig.until_failed(instance)
        assert (task["retries"], await redis.hgetall(name)) == (3, before)
    await rig.rest.wait_for_end(instance)

    assert rig.calls("conversations.create") == 1
    assert (await rig.meta(instance, "two"))["use"] == "reused"


async def test_a_recreation_stands_in_the_line_of_its_turn(rig: Rig, capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    instance = await at_step_two(rig)
    [old] = rig.provider.conversations()
    rig.provider.forget(old)
    await rig.start_worker(topics=rig.topic + "_two")
    await rig.rest.wait_for_end(instance)
    lines: list[str] = []

    def told() -> bool:
        lines.extend(line for line in capfd.readouterr().err.splitlines() if '"event": "turn"' in line)
        return len(lines) == 2

    await wait_until(told, what="both lines")
    first, second = map(json.loads, lines)
    assert (first["use"], first["generation"], second["use"], second["generation"]) == ("created", 1, "recreated", 2)
    assert second["thread_id"] != old
