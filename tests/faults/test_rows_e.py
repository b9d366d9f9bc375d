"""Two at once, clocks that lie, and instances that change under a turn."""

import asyncio
import sys

import pytest

from tests.faults.checkers import Explained, check
from tests.faults.crowd import together
from tests.faults.world import World, calmly
from tests.waiting import wait_until
from worker.demo.processes import Process, running
from worker.demo.stage import PYTHON_ENVIRONMENT

pytestmark = pytest.mark.timeout(600)

CLOCK = """
import sys, time
now, wrong = time.time, [{first}, {then}]
time.time = lambda: now() + (wrong.pop(0) if len(wrong) > 1 else wrong[0])
from worker.cli import main
sys.exit(main(["run"]))
"""


@together()
async def test_a_task_delivered_to_two_workers_is_completed_once(world: World) -> None:
    world.rig.assistant(timeout=120)
    world.model.fault("responses.create", times=1, hold="gate")
    await world.start(await world.rig.deploy(world.rig.step("one")))
    await world.start_worker(max_tasks=1)  # it polls no more, and leaves the task to the other
    await world.turn_runs()
    await world.start_worker()

    async def is_delivered_again() -> bool:
        """Let the lock run out until the other worker has the task: its own may be quicker to take it back."""
        await world.locks_run_out()
        return len([each for each in world.history.of("redis", "^script enter") if each.outcome == "ok"]) > 1

    await calmly(is_delivered_again, 60, "the second delivery")
    world.model.release("gate")
    await world.ended()
    await world.stop()

    await check(world)


@pytest.mark.parametrize(("first", "then"), [(3600, 3600), (-3600, 3600)])
@together()
async def test_a_clock_that_is_an_hour_off_or_steps_changes_nothing(world: World, first: int, then: int) -> None:
    world.model.fault("responses.create", times=1, during=8.0)  # the lock is renewed meanwhile
    await world.start(await world.rig.deploy(world.rig.step("one"), world.rig.step("two")))
    settings = {name.upper(): str(value) for name, value in world.rig.settings.items()}
    program = [sys.executable, "-c", CLOCK.format(first=first, then=then)]
    process = Process(
        "worker", program, ready=lambda: "worker_started" in process.log_tail(), env={**PYTHON_ENVIRONMENT, **settings}
    )
    async with running(process):
        await world.ended()
        assert await asyncio.to_thread(process.stop) == 0

    await check(world)
    extended = world.history.of("engine", "/extendLock$")
    assert extended
    crossed = [each for each in extended if each.status == 404]  # the completion was quicker
    assert extended != crossed
    assert all(each.outcome == "ok" for each in extended if each not in crossed)


@together()
async def test_an_activity_cancelled_under_a_call_ends_the_call(world: World) -> None:
    """As a boundary timer does: the external task is gone, the instance goes on elsewhere."""
    world.model.fault("responses.create", times=1, hold="gate")
    instance = await world.start(await world.rig.deploy(world.rig.step("one"), world.rig.step("two")))
    worker = await world.start_worker()
    await world.turn_runs()
    instructions = [{"type": "cancel", "activityId": "one"}, {"type": "startBeforeActivity", "activityId": "two"}]
    await world.insist(f"process-instance/{instance}/modification", {"instructions": instructions})
    line = (await wait_until(lambda: worker.lines("turn"), 20, "the end of the turn"))[0]
    assert (line["activity"], line["verdict"]) == ("one", "abandon")
    world.model.release("gate")
    await world.ended()
    await world.stop()

    await check(world, Explained(locked=4))


@together()
async def test_an_instance_migrated_under_a_call_is_completed_in_its_new_definition(world: World) -> None:
    world.rig.assistant(timeout=120)
    world.model.fault("responses.create", times=1, hold="gate")
    old = await world.rig.deploy(world.rig.step("one"))
    instance = await world.start(old)
    await world.start_worker()
    await world.turn_runs()
    [source] = [each["processDefinitionId"] for each in await world.rest.tasks(instance)]
    await world.rig.deploy(world.rig.step("one"), world.rig.step("two"), key=old.key)
    [target] = await world.rest.get("process-definition", key=old.key, latestVersion=True)
    plan = {
        "sourceProcessDefinitionId": source,
        "targetProcessDefinitionId": target["id"],
        "instructions": [{"sourceActivityIds": ["one"], "targetActivityIds": ["one"]}],
    }
    await world.insist("migration/execute", {"migrationPlan": plan, "processInstanceIds": [instance]})
    world.model.release("gate")
    await world.ended()
    await world.stop()

    await check(world)
    assert len(world.model.requests("responses.create")) == 2


@together()
async def test_many_waiters_on_one_thread_hold_nobody_up(world: World) -> None:
    """Twenty branches of one instance on one thread that stands still, five slots, and twelve instances beside them."""
    world.rig.assistant(timeout=120)
    world.model.fault("responses.create", times=1, hold="gate")
    branches = await world.rig.deploy([world.rig.step(f"branch{number}") for number in range(20)])
    single = await world.rig.deploy(world.rig.step("alone"))
    slow = await world.start(branches)
    await world.start_worker(max_tasks=5)
    await world.turn_runs()
    others = [await world.start(single) for _ in range(12)]
    await world.ended(*others)
    assert await world.rest.state(slow) == "ACTIVE"
    world.model.release("gate")
    await world.ended()
    await world.stop()

    await check(world)
