"""A provider that is busy, away, slow, or does not want us any more."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import aiohttp
import pytest

from tests.faults.checkers import Explained, check, complaints
from tests.faults.crowd import together
from tests.faults.evidence import gather
from tests.faults.history import Exchange
from tests.faults.world import KEY, World
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(600)


async def one_step(world: World, **properties: str) -> str:
    return await world.start(await world.rig.deploy(world.rig.step("one", **properties)))


@together()
async def test_a_conversation_that_somebody_else_uses_is_waited_for_then_parked_without_a_trace(world: World) -> None:
    second = world.rig.step("two", topic=f"{world.rig.topic}_two")
    instance = await world.start(await world.rig.deploy(world.rig.step("one"), second))
    await world.start_worker()
    await world.until_open(instance, "two")
    [conversation] = world.model.conversations()
    world.model.fault("responses.create", times=1, hold="gate")
    foreign = asyncio.create_task(ask_somebody_elses_question(world, conversation), name="a foreign turn")
    await world.turn_runs()
    worker = await world.start_worker(topics=second.topic)
    line = (await wait_until(lambda: worker.lines("turn"), 40, "the end of the turn"))[0]
    assert (line["verdict"], line["reason"]) == ("park", "thread locked")
    [task] = await world.rest.tasks(instance)
    assert (task["retries"], task["errorMessage"]) == (None, None)
    assert await world.rest.incidents(instance) == []
    world.model.release("gate")
    await foreign
    await world.locks_run_out()
    await world.ended()
    await world.stop()

    assert complaints(await gather(world), Explained(locked=4)) == ["paid_once: 1 questions belong to no task"]


async def ask_somebody_elses_question(world: World, conversation: str) -> None:
    body = {"model": "gpt-5-mini", "input": "And what about us?", "conversation": conversation}
    headers = {"Authorization": f"Bearer {KEY}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{world.model.base_url}/responses", json=body) as reply,
    ):
        assert reply.status == 200


NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
WISHES: dict[str, tuple[dict[str, str], tuple[float, float]]] = {
    "2 s": ({"Retry-After": "2"}, (2, 2)),
    "30 s": ({"Retry-After": "30"}, (30, 30)),
    "300 s": ({"Retry-After": "300"}, (300, 300)),
    "milliseconds": ({"retry-after-ms": "1500"}, (1.5, 1.5)),
    "date": ({"Date": format_datetime(NOW), "Retry-After": format_datetime(NOW + timedelta(seconds=20))}, (20, 20)),
    "negative": ({"Retry-After": "-5"}, (5, 10)),
    "nothing": ({}, (5, 10)),
}


@together()
async def test_the_wait_that_a_provider_wishes_for_is_handed_to_the_engine(world: World) -> None:
    for wish, (headers, _) in WISHES.items():
        reply = {"preset": "rate_limit", "headers": headers}
        world.model.fault("responses.create", times=1, text=f"wish: {wish}.", reply=reply)
        step = world.rig.step("one", documentation=f"Please do this with the wish: {wish}.")
        await world.start(await world.rig.deploy(step))
    # Before any of them fails: one that may come back in seconds may be done before the last has failed.
    tasks = {task["id"]: task for instance in world.instances for task in await world.rest.tasks(instance)}
    await world.start_worker()

    def told() -> list[Exchange]:  # by the engine's replies, so that what is freed below has its pause before
        found = [each for each in world.history.of("engine", "/failure$") if each.outcome == "ok"]
        return found if len(found) >= len(WISHES) else []

    failures = await wait_until(told, 60, "failures")
    waits = {failure.call.split("/")[2]: failure.request["retryTimeout"] / 1000 for failure in failures}
    assert waits.keys() == tasks.keys()
    assert len(failures) == len(WISHES)
    for (wish, (_, (least, most))), instance in zip(WISHES.items(), world.instances, strict=True):
        [task_id] = [name for name, task in tasks.items() if task["processInstanceId"] == instance]
        assert least <= waits[task_id] <= most, wish
    await world.locks_run_out()
    await world.ended()
    await world.stop()

    await check(world)


@pytest.mark.parametrize("reply", ["quota", "unauthorized", "forbidden"])
@together()
async def test_a_provider_that_does_not_want_us_is_paused_with_one_alarm(world: World, reply: str) -> None:
    await one_step(world)
    worker = await world.start_worker()
    await world.ended()
    world.model.fault("*", times=None, reply=reply)
    instances = [await one_step(world) for _ in range(3)]

    def is_told() -> bool:  # an engine that is slow beside many other tests may be told as well
        return any(line["dependency"] == "provider" for line in worker.lines("dependency_down"))

    await wait_until(is_told, 20, "the alarm")
    assert not await worker.is_ready()
    asked = len(world.model.requests())
    await asyncio.sleep(4)
    assert len(world.model.requests()) - asked <= 6, "no hot loop"
    alarms = [line for line in worker.lines() if line["level"] == "error" and line.get("dependency") != "engine"]
    assert [line["event"] for line in alarms] == ["dependency_down"]
    for instance in instances:
        [task] = await world.rest.tasks(instance)
        assert (task["retries"], task["errorMessage"]) == (None, None)
    world.model.clear_faults()
    await world.locks_run_out()
    await world.ended()
    await world.stop()

    await check(world)


@pytest.mark.parametrize("times", [1, 5])
@together()
async def test_a_provider_that_fails_is_asked_again_later_at_no_retry(world: World, times: int) -> None:
    world.model.fault("responses.create", times=times, reply="server_error")
    await one_step(world, service_calls=f"{times + 1}")
    worker = await world.start_worker()
    while len(worker.lines("turn")) <= times:
        await asyncio.sleep(0.1)
        await world.locks_run_out()  # the pauses are real in other tests
    await world.ended()
    await world.stop()

    await check(world, Explained(calls=0))
    assert len(world.model.requests("responses.create")) == times + 1


@together()
async def test_a_fifth_of_all_calls_failing_costs_a_quarter_more_calls_and_not_one_retry(world: World) -> None:
    world.model.fault("responses.create", times=None, probability=0.2, seed=5, reply="server_error")
    steps = (world.rig.step(name, service_calls="10") for name in ("one", "two"))  # three in a row fail now and then
    model = await world.rig.deploy(*steps)
    for _ in range(15):
        await world.start(model)
    await world.start_worker()
    await world.ended(seconds=120)
    await world.stop()

    await check(world)
    calls = world.model.requests("responses.create")
    failed = [each for each in calls if each["status"] == 500]
    assert len(calls) == 30 + len(failed), "each failure is followed by one repeat, by nobody else's"


@pytest.mark.parametrize("effect", [{"hang": "before"}, {"hang": "after"}, {"drip": 20.0}], ids=str)
@together()
async def test_a_call_ends_at_its_deadline_and_is_looked_for_before_it_is_repeated(
    world: World, effect: dict[str, Any]
) -> None:
    world.rig.assistant(timeout=5)  # the next call, which is not spoiled, has to be answered within it
    world.provider.spoil("^POST /responses", times=1, **effect)
    instance = await one_step(world)
    worker = await world.start_worker()
    line = (await wait_until(lambda: worker.lines("turn"), 30, "the deadline"))[0]
    assert (line["verdict"], line["retries"]) == ("fail", 3)
    await world.ended()
    await world.stop()

    await check(world)
    landed = effect != {"hang": "before"}
    assert (await world.rig.meta(instance, "one")).get("recovered") == ("thread" if landed else None)


@together()
async def test_a_conversation_that_is_not_whole_any_more_is_left_for_a_new_one(world: World) -> None:
    message = "Item 'rs_1' of type 'reasoning' was provided without its required following item."
    said = {"message": message, "type": "invalid_request_error", "param": "input", "code": None}
    world.model.fault("responses.create", text="Please do two.", reply={"status": 400, "json": {"error": said}})
    steps = (world.rig.step(name, data_input="-") for name in ("one", "two", "three"))
    transcript = f"sqlite:///{world.folder}/transcript.db"
    instance = await world.start(await world.rig.deploy(*steps))
    worker = await world.start_worker(transcript_url=transcript)
    await world.ended()
    await world.stop()

    told_anew = "paid_once: 1 questions belong to no task"  # what was said before has no mark on the new conversation
    assert complaints(await gather(world), Explained(calls=1, threads=1)) == [told_anew]
    [told] = worker.lines("thread_renewed")
    one, two, three = [await world.rig.meta(instance, name) for name in ("one", "two", "three")]
    assert told["thread_id"] == one["thread"] != two["thread"] == three["thread"]
    assert (two["use"], two["memory"], two["seeded"]) == ("recreated", "whole", 1)


@together()
async def test_a_conversation_that_has_become_too_long_is_an_incident_and_no_loop(world: World) -> None:
    world.model.fault("responses.create", times=None, reply="context_length")
    instance = await one_step(world)
    await world.start_worker()
    task = await world.until_failed(instance, 20)
    await asyncio.sleep(1)

    assert task["retries"] == 0
    assert "longer than model" in task["errorMessage"]
    assert len(world.model.requests("responses.create")) == 1
