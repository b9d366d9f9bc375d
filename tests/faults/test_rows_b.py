"""An engine that is away, slow, wrong, or says no."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from tests.faults.checkers import Explained, check
from tests.faults.crowd import together
from tests.faults.proxy import Said
from tests.faults.world import World, databases, open_world
from tests.models import ServiceTask
from tests.rest import connect
from tests.servers.postgresql import PostgreSQL
from tests.waiting import wait_until
from worker.demo.engine import Engine
from worker.demo.processes import running

pytestmark = pytest.mark.timeout(600)

WRONG_ANSWERS = {
    "page with 500": Said(500, "<html>oops</html>", "text/html"),
    "page with 404": Said(404, "<html>no such page</html>", "text/html"),
    "bad gateway": Said(502),
    "busy": Said(503, "later", "text/plain", (("Retry-After", "1"),)),
    "too late": Said(504),
    "empty": Said(200, ""),
    "half": Said(200, '[{"id": "1'),
    "no JSON": Said(200, "fine, thanks", "text/plain"),
    "page with 200": Said(200, "<html>Sign in to continue</html>", "text/html"),
}


def refusal(code: int, kind: str = "RestException", status: int = 500) -> Said:
    """An error as the engine writes it."""
    return Said(status, json.dumps({"type": kind, "message": "it does not want to", "code": code}))


async def one_step(world: World, **changes: Any) -> str:
    """Start an instance with a single step."""
    return await world.start(await world.rig.deploy(replace(world.rig.step("one"), **changes)))


@together()
async def test_an_engine_that_is_down_at_the_start_and_then_flaps_is_waited_for(world: World) -> None:
    await world.engine.down()
    instance = await one_step(world)
    worker = await world.start_worker()
    await wait_until(lambda: worker.lines("dependency_down"), 30, "the loud line")
    assert (await worker.get("livez"))[0] == 200
    status, text = await worker.get("readyz")
    assert (status, "engine" in text) == (503, True)
    for _ in range(3):
        await world.engine.up()
        await asyncio.sleep(0.3)
        await world.engine.down()
        await asyncio.sleep(0.3)
    await world.engine.up()
    await world.ended(instance)
    await wait_until(worker.is_ready, 60, "readiness")
    await world.stop()

    await check(world)


@together()
async def test_an_answer_outlives_an_engine_that_is_away_when_it_comes(world: World) -> None:
    world.model.fault("responses.create", times=1, hold="gate")
    await one_step(world)
    worker = await world.start_worker()
    await world.turn_runs()
    await world.engine.down()
    world.model.release("gate")
    await wait_until(lambda: worker.lines("dependency_down"), 20, "the loud line")
    await asyncio.sleep(3)
    await world.engine.up()
    await world.ended()
    await world.stop()

    await check(world)


@together()
async def test_an_engine_that_accepts_and_never_answers_is_asked_again_on_another_connection(world: World) -> None:
    rule = world.engine.spoil("fetchAndLock", text=world.rig.topic, times=1, hang="before")
    await one_step(world)
    worker = await world.start_worker()
    await wait_until(lambda: rule.hits, 30, "the poll that hangs")
    await world.ended()
    [line] = [line for line in worker.lines("dependency_down") if line["dependency"] == "engine"]
    assert "no answer in time" in line["reason"]
    await world.stop()

    await check(world)


@together()
async def test_wrong_answers_of_all_kinds_cost_neither_a_retry_nor_a_call(world: World) -> None:
    for number, said in enumerate(WRONG_ANSWERS.values()):
        world.engine.spoil(say=said, probability=0.04, seed=number)
        world.engine.spoil(say=said, acted=True, probability=0.04, seed=100 + number)
    model = await world.rig.deploy(world.rig.step("one"), world.rig.step("two"))
    for _ in range(3):
        await world.start(model)
    await world.start_worker()
    await wait_until(lambda: len([each for each in world.history.of("engine") if each.outcome == "withheld"]) > 8, 60)
    world.engine.heal()
    await world.ended(seconds=90)
    await world.stop()

    await check(world)


@pytest.mark.parametrize(("status", "most"), [(401, 1), (403, 1), (429, 20), (500, 20)])
@together()
async def test_an_engine_that_refuses_everything_is_asked_rarely_and_named_once(
    world: World, status: int, most: int
) -> None:
    await one_step(world)
    worker = await world.start_worker()
    await world.ended()
    seen = len(world.history.exchanges)
    headers = (("Retry-After", "1"),) if status == 429 else ()
    said = replace(refusal(0, "InvalidRequestException", status), headers=headers)
    world.engine.spoil(say=said)
    await wait_until(lambda: worker.lines("dependency_down"), 30, "the loud line")
    await asyncio.sleep(5)

    asked = [each for each in world.history.exchanges[seen:] if each.outcome == "withheld"]
    assert len(asked) <= most, [each.call for each in asked]
    named = [(line["dependency"], line["reason"]) for line in worker.lines("dependency_down")]
    late = [each for each in named if "no answer in time" in each[1]]  # of a busy machine, before it refused anything
    assert {dependency for dependency, _ in named} == {"engine"}
    assert len(named) - len(late) <= 1, named
    assert not await worker.is_ready()
    assert (await worker.get("livez"))[0] == 200
    assert await worker.stop() == 0


@pytest.mark.parametrize("branches", [2, 20])
@together()
async def test_joins_that_collide_repeat_the_completion_alone(world: World, branches: int) -> None:
    steps = []
    for number in range(branches):
        world.rig.assistant(f"analyst{number}")
        steps.append(replace(world.rig.step(f"branch{number}", f"analyst{number}"), async_after=False))
    world.model.latency = timedelta(seconds=0.5)
    model = await world.rig.deploy(steps, steps_again(world, branches))
    await world.start_worker(max_tasks=branches)
    for _ in range(4 if branches == 2 else 1):
        await world.start(model)
    await world.ended()
    await world.stop()

    collided = [each for each in world.history.of("engine", "/complete$") if (each.reply or {}).get("code") == 1]
    assert collided or branches == 2, "twenty completions at once have never all got through"
    await check(world)
    assert len(world.model.requests("responses.create")) == 2 * branches * len(world.instances)


def steps_again(world: World, branches: int) -> list[ServiceTask]:
    """The same fork once more, so that it starts with all tasks at once."""
    return [
        replace(world.rig.step(f"again{number}", f"analyst{number}"), async_after=False) for number in range(branches)
    ]


@together()
async def test_a_result_too_long_for_its_column_is_sent_once_more_as_another_type(world: World) -> None:
    world.engine.spoil("/complete$", text=world.rig.topic, times=1, say=refusal(10002, "ProcessEngineException"))
    world.model.answer("Please do one", f"The answer to {world.rig.topic}.")
    instance = await one_step(world)
    await world.start_worker()
    await world.ended()
    await world.stop()

    first, second = world.history.of("engine", "/complete$", text=world.rig.topic)
    assert [each.request["variables"]["one"]["type"] for each in (first, second)] == ["String", "Object"]
    await check(world)
    assert json.loads((await world.rest.variables(instance))["one"]) == f"The answer to {world.rig.topic}."


@together()
async def test_a_result_too_long_in_every_type_is_an_incident_that_keeps_the_answer(world: World) -> None:
    world.engine.spoil("/complete$", text=world.rig.topic, say=refusal(10002, "ProcessEngineException"))
    world.model.answer("Please do one", f"The answer to {world.rig.topic}.")
    instance = await one_step(world)
    await world.start_worker()
    task = await world.until_failed(instance, 20)
    assert (task["retries"], "too long" in task["errorMessage"]) == (0, True)
    world.engine.heal()
    await world.rest.put(f"external-task/{task['id']}/retries", {"retries": 1})
    await world.ended()
    await world.stop()

    await check(world, Explained(retries=0, incidents=1))


@together()
async def test_a_task_that_another_worker_has_taken_is_dropped_without_a_word(world: World) -> None:
    world.model.fault("responses.create", times=1, hold="gate")
    instance = await one_step(world)
    worker = await world.start_worker(max_tasks=1)  # it polls no more: the unlock would wake its own poll
    await world.turn_runs()
    [task] = await world.rest.tasks(instance)
    await world.rest.post(f"external-task/{task['id']}/unlock")
    await world.rest.post(f"external-task/{task['id']}/lock", {"workerId": "thief", "lockDuration": 600_000})

    async def is_known() -> bool:
        return await worker.metric('worker_lock_extensions_total{result="lost"}') > 0

    await wait_until(is_known, 20, "the loss to be seen")
    assert not worker.lines("turn"), "the call is paid for"
    world.model.release("gate")
    await wait_until(lambda: worker.lines("turn"), 20, "the end of the turn")

    assert [line["verdict"] for line in worker.lines("turn")] == ["abandon"]
    assert await worker.metric("worker_tasks_lost_total") == 1
    assert not world.history.of("engine", f"{task['id']}/(complete|failure|unlock|bpmnError)$")
    assert (await world.rest.tasks(instance))[0]["workerId"] == "thief"
    await world.start_worker()
    await world.rest.post(f"external-task/{task['id']}/unlock")
    await world.ended()
    await world.stop()

    await check(world)
    assert (await world.rig.meta(instance, "one"))["recovered"] == "journal"


@together()
async def test_an_instance_deleted_while_its_completion_is_on_the_way_is_dropped(world: World) -> None:
    rule = world.engine.spoil("/complete$", text="Please", wait=5.0)  # room for the deletion on a busy machine
    world.model.answer("Please do one", "Please yourself.")
    instance = await one_step(world)
    worker = await world.start_worker()
    await wait_until(lambda: rule.hits, 30, "the completion")
    await world.insist(f"process-instance/{instance}", None, method="DELETE")
    await wait_until(lambda: worker.lines("turn"), 20, "the end of the turn")

    assert [line["verdict"] for line in worker.lines("turn")] == ["abandon"]
    assert not world.history.of("engine", "/(failure|unlock|bpmnError)$")
    assert await worker.is_ready()


@together(first=True)
async def test_a_failing_step_behind_the_task_is_named_and_retry_completes_without_asking(world: World) -> None:
    behind = replace(world.rig.step("behind"), inputs={"x": "${repaired.length()}"})
    step = replace(world.rig.step("one"), async_after=False)
    instance = await world.start(await world.rig.deploy(step, behind))
    await world.start_worker()
    task = await world.until_failed(instance, 60)

    assert (task["activityId"], task["retries"]) == ("one", 2)
    assert "Look at the step after it" in task["errorMessage"]
    refused = world.history.of("engine", f"{task['id']}/complete$")
    assert [each.outcome for each in refused] == ["failed"] * 3
    await world.rest.put(f"process-instance/{instance}/variables/repaired", {"value": "yes"})
    await world.ended()
    await world.stop()
    await check(world, Explained(retries=2))
    assert (await world.rig.meta(instance, "one"))["recovered"] == "journal"


@together(first=True)
async def test_a_variable_that_the_engine_does_not_take_is_a_failure_with_its_words(world: World) -> None:
    world.engine.spoil("/complete$", text=world.rig.topic, say=refusal(0, "InvalidRequestException", 400))
    world.model.answer("Please do one", f"The answer to {world.rig.topic}.")
    instance = await one_step(world)
    await world.start_worker()
    task = await world.until_failed(instance, 60)
    assert (task["retries"], "it does not want to" in task["errorMessage"]) == (2, True)
    world.engine.heal()
    await world.ended()
    await world.stop()

    await check(world, Explained(retries=2))


@together()
async def test_a_suspended_instance_keeps_its_answer_and_only_completes_when_resumed(world: World) -> None:
    world.model.fault("responses.create", times=1, during=8.0)  # a renewal of the lock falls into it
    instance = await one_step(world)
    worker = await world.start_worker()
    await world.turn_runs()
    await world.rest.put(f"process-instance/{instance}/suspended", {"suspended": True})
    await wait_until(lambda: worker.lines("turn"), 30, "the end of the turn")
    assert [line["verdict"] for line in worker.lines("turn")] == ["abandon"]
    assert await worker.metric('worker_lock_extensions_total{result="suspended"}') >= 1
    await world.rest.put(f"process-instance/{instance}/suspended", {"suspended": False})
    await world.ended()
    await world.stop()

    await check(world)
    assert (await world.rig.meta(instance, "one"))["recovered"] == "journal"


@pytest.mark.parametrize("lost", ["cut", "hang"])
@together()
async def test_tasks_locked_by_a_poll_whose_reply_was_lost_come_back_at_once(world: World, lost: str) -> None:
    model = await world.rig.deploy(world.rig.step("one"))
    for _ in range(3):
        await world.start(model)
    world.engine.spoil("fetchAndLock", text=world.rig.topic, times=1, **{lost: "after"})
    worker = await world.start_worker(lock_seconds=120)
    await world.ended()
    assert len(worker.lines("leftover_unlocked")) == 3
    await world.stop()

    await check(world)


@together()
async def test_an_engine_that_parks_no_poll_is_not_hammered(world: World) -> None:
    world.engine.spoil("fetchAndLock", text=world.rig.topic, say=Said(200, "[]"))
    await world.start_worker()
    polls = await wait_until(lambda: world.history.of("engine", "fetchAndLock", text=world.rig.topic), 30, "a poll")
    await asyncio.sleep(4)
    polls = world.history.of("engine", "fetchAndLock", text=world.rig.topic)

    assert 5 * (polls[-1].began - polls[0].began) + 1.5 >= len(polls) > 2


@together()
async def test_a_completion_whose_reply_was_lost_is_done(world: World) -> None:
    world.engine.spoil("/complete$", text=world.rig.topic, times=1, cut="after")
    world.model.answer("Please do", f"The answer to {world.rig.topic}.")
    await world.start(await world.rig.deploy(world.rig.step("one"), world.rig.step("two")))
    worker = await world.start_worker()
    await world.ended()
    await world.stop()

    assert [line["verdict"] for line in worker.lines("turn")] == ["complete", "complete"]
    assert world.history.of("engine", "external-task-log")
    await check(world)


@together()
async def test_requests_that_arrive_twice_do_no_harm(world: World) -> None:
    world.engine.spoil("/(complete|extendLock|unlock)$|^PUT", twice=True)
    world.redis.spoil("^script", twice=True)
    world.provider.spoil("^POST /responses", times=1, late=4.0)
    await world.start(await world.rig.deploy(world.rig.step("one"), world.rig.step("two")))
    await world.start_worker()
    await world.ended()
    await world.stop()

    await check(world)


@dataclass(frozen=True, slots=True)
class Nodes:
    """A world whose engine has a second node on the same database."""

    world: World
    own: Engine
    other: Engine


@asynccontextmanager
async def two_nodes(beside: World) -> AsyncIterator[Nodes]:
    """Open such a world with what another one has of nursery and Redis."""
    folder = beside.folder / "nodes"
    folder.mkdir()
    async with running(PostgreSQL()) as postgresql:
        database = await asyncio.to_thread(postgresql.create, "engine")
        async with (
            running(Engine(database=database)) as own,
            running(Engine(database=database)) as other,
            connect(own) as rest,
            open_world(rest, beside.nursery, beside.valkey, next(databases), folder) as world,
        ):
            yield Nodes(world, own, other)


@together(first=True)
async def test_a_task_made_on_another_node_is_found_and_a_restart_of_the_engine_loses_nothing(world: World) -> None:
    async with two_nodes(world) as nodes:
        world = nodes.world
        model = await world.rig.deploy(world.rig.step("one"), world.rig.step("two"))
        world.model.fault("responses.create", times=2, hold="gate")
        await world.start(model)
        await world.start_worker(poll_seconds=5)
        await world.turn_runs()
        async with connect(nodes.other) as rest:
            world.instances.append(await rest.start(model))
        await world.turn_runs(2)
        await asyncio.to_thread(nodes.own.kill)
        world.model.release("gate")
        await asyncio.to_thread(nodes.own.start)
        await world.ended()
        await world.stop()

        await check(world)
