"""Deaths of the worker's process that come from ports; those at its own steps are in test_crash_points.py."""

import asyncio
import signal
import subprocess
import sys
from datetime import timedelta

import pytest

from tests.faults.checkers import Explained, check
from tests.faults.crowd import together
from tests.faults.world import KEY, World
from tests.waiting import wait_until
from worker.demo.processes import Process, running
from worker.demo.stage import PYTHON_ENVIRONMENT

pytestmark = pytest.mark.timeout(600)


@together()
async def test_a_task_given_to_a_dead_poll_is_done_when_its_lock_has_run_out(world: World) -> None:
    dead = await world.start_worker(poll_seconds=5)
    await wait_until(lambda: world.history.of("engine", text=world.rig.topic), 30, "the parked poll")
    await dead.kill()
    await world.start(await world.rig.deploy(world.rig.step("one")))
    await world.start_worker()
    await world.ended()
    await world.stop()

    await check(world)


@together()
async def test_a_call_that_lives_longer_than_its_worker_is_found_and_not_repeated(world: World) -> None:
    world.model.fault("responses.create", times=1, hold="gate")
    await world.start(await world.rig.deploy(world.rig.step("one")))
    dead = await world.start_worker()
    await world.turn_runs()
    await dead.kill()
    world.model.release("gate")
    await world.start_worker()
    await world.ended()
    await world.stop()

    await check(world)
    [instance] = world.instances
    assert (await world.rig.meta(instance, "one"))["recovered"] == "thread"


@together()
async def test_a_call_that_still_runs_when_the_next_worker_comes_is_waited_for(world: World) -> None:
    world.model.fault("responses.create", times=1, hold="gate")
    await world.start(await world.rig.deploy(world.rig.step("one")))
    dead = await world.start_worker()
    await world.turn_runs()
    await dead.kill()
    await world.start_worker()
    await wait_until(
        lambda: any(each.outcome == "failed" for each in world.history.of("provider", "POST /responses")),
        60,
        "the refusal of the next worker's question",
    )
    world.model.release("gate")
    await world.ended()
    await world.stop()

    await check(world, Explained(locked=1))


@together()
async def test_a_call_that_died_with_its_worker_is_repeated_once(world: World) -> None:
    world.provider.spoil("POST /responses", times=1, hang="before")
    await world.start(await world.rig.deploy(world.rig.step("one")))
    dead = await world.start_worker()
    await wait_until(lambda: world.history.of("provider", "POST /responses"), 30, "the call")
    await dead.kill()
    await world.start_worker()
    await world.ended()
    await world.stop()

    await check(world)
    assert len(world.model.requests("responses.create")) == 1


@together()
async def test_a_worker_killed_while_it_drains_leaves_nothing_that_does_not_come_back(world: World) -> None:
    world.model.fault("responses.create", times=3, hold="gate")
    model = await world.rig.deploy(world.rig.step("one"))
    for _ in range(3):
        await world.start(model)
    dead = await world.start_worker()
    await world.turn_runs(3)
    dead.child.signal(signal.SIGTERM)
    await wait_until(lambda: dead.lines("worker_stopping"), 30, "the stop")
    await dead.kill()
    world.model.release("gate")
    await world.start_worker()
    await world.ended()
    await world.stop()

    await check(world)


@together(first=True)
async def test_a_frozen_worker_finds_its_task_done_by_another_and_says_nothing(world: World) -> None:
    world.model.fault("responses.create", times=1, hold="gate")
    await world.start(await world.rig.deploy(world.rig.step("one")))
    frozen = await world.start_worker()
    await world.turn_runs()
    frozen.freeze()
    world.model.release("gate")
    await world.start_worker()
    await world.ended()
    await asyncio.sleep(10)  # twice the lock in all
    frozen.thaw()
    await wait_until(lambda: frozen.lines("turn"), 20, "the frozen turn's end")

    assert [line["verdict"] for line in frozen.lines("turn")] == ["abandon"]
    assert not world.history.of("engine", "/(failure|unlock|bpmnError)$")
    await world.stop()
    await check(world)


@together()
async def test_a_frozen_worker_that_nobody_replaced_takes_its_task_back_and_finishes_it(world: World) -> None:
    world.model.fault("responses.create", times=1, hold="gate")
    await world.start(await world.rig.deploy(world.rig.step("one")))
    worker = await world.start_worker()
    await world.turn_runs()
    worker.freeze()
    await asyncio.sleep(20)  # twice the lock
    worker.thaw()
    await wait_until(lambda: is_looked_after(world), 20, "the lock to be taken back")
    world.model.release("gate")
    await world.ended()
    await world.stop()

    await check(world)


def is_looked_after(world: World) -> bool:
    """Whether the only worker has its only task again: extended, locked anew, or fetched a second time."""
    extended = world.history.of("engine", "/(extendLock|lock)$")
    polls = world.history.of("engine", "fetchAndLock", text=world.rig.topic)
    return any(each.outcome == "ok" for each in extended) or sum(bool(each.reply) for each in polls) > 1


@together()
async def test_a_stop_while_idle_waits_for_the_poll_and_exits_with_0(world: World) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        worker = await world.start_worker(poll_seconds=2)
        await wait_until(worker.is_ready, 30, "readiness")
        fetches = world.history.of("engine", "fetchAndLock", text=worker.id)

        assert await worker.stop(number) == 0
        assert all(each.outcome == "ok" for each in fetches), "no poll was broken off"


@together()
async def test_a_stop_under_fifty_turns_unlocks_what_it_cannot_finish(world: World) -> None:
    world.model.fault("responses.create", times=50, hold="gate")
    model = await world.rig.deploy(world.rig.step("one"))
    for _ in range(50):
        await world.start(model)
    worker = await world.start_worker(max_tasks=50, grace_seconds=1)
    await world.turn_runs(50)
    assert await worker.stop() == 0

    seen = await check(world, Explained(unfinished=frozenset(world.instances)))
    assert [task["retries"] for task in seen.tasks] == [None] * 50
    assert not [task for task in seen.tasks if task["workerId"]]
    world.model.release("gate")
    await world.start_worker(max_tasks=50)
    await world.ended()
    await world.stop()
    await check(world)


@together()
async def test_a_stop_lets_turns_finish_and_keeps_their_locks_meanwhile(world: World) -> None:
    world.model.fault("responses.create", times=1, during=8.0)
    await world.start(await world.rig.deploy(world.rig.step("one"), world.rig.step("two")))
    worker = await world.start_worker(grace_seconds=30)
    await world.turn_runs()
    worker.child.signal(signal.SIGTERM)
    await wait_until(lambda: worker.lines("worker_stopping"), 30, "the stop")
    assert (await worker.get("livez"))[0] == 200
    assert not await worker.is_ready()
    assert await worker.ended() == 0

    assert [line["verdict"] for line in worker.lines("turn")] == ["complete"]
    assert [each for each in world.history.of("engine", "/extendLock$") if each.outcome == "ok"]
    seen = await check(world, Explained(unfinished=frozenset(world.instances)))
    assert [task["activityId"] for task in seen.tasks] == ["two"]


@pytest.mark.parametrize("engine_is", ["alive", "dead"])
@together()
async def test_a_second_signal_ends_it_at_once_and_still_unlocks(world: World, engine_is: str) -> None:
    world.model.fault("responses.create", times=None, hold="gate")
    await world.start(await world.rig.deploy(world.rig.step("one")))
    worker = await world.start_worker(grace_seconds=600)
    await world.turn_runs()
    if engine_is == "dead":
        world.engine.spoil("", hang="before")
    worker.child.signal(signal.SIGTERM)
    await wait_until(lambda: worker.lines("worker_stopping"), 30, "the stop")
    worker.child.signal(signal.SIGTERM)

    assert await worker.ended() == 0, "long before its grace period is over"
    [task] = await world.rest.tasks(world.instances[0])
    assert (task["workerId"] is None) == (engine_is == "alive")


async def test_the_command_ends_as_the_forked_workers_do(world: World) -> None:
    """All other workers here are forks that run the same code; this one is what people start."""
    world.model.latency = timedelta(seconds=0.5)
    await world.start(await world.rig.deploy(world.rig.step("one")))
    settings = {name.upper(): str(value) for name, value in world.rig.settings.items()}
    command = [sys.executable, "-m", "worker", "run"]
    process = Process(
        "worker",
        command,
        ready=lambda: '"worker_started"' in process.log_tail(),
        env={**PYTHON_ENVIRONMENT, **settings},
    )
    async with running(process):
        await world.turn_runs()
        assert await asyncio.to_thread(process.stop) == 0
        assert '"verdict": "complete"' in process.log_tail()
        assert KEY not in process.log_tail(1000)
    await world.ended()

    refused = await asyncio.to_thread(
        subprocess.run, command, env={**PYTHON_ENVIRONMENT, "LOCK_SECONDS": "soon"}, capture_output=True, check=False
    )
    assert (refused.returncode, b"LOCK_SECONDS=soon" in refused.stderr) == (2, True)
