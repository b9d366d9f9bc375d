"""A task that waits for its next try is left in peace by the watch for ghosts."""

from datetime import UTC, datetime, timedelta

from tests.faults.world import World
from tests.waiting import wait_until


def rests_until(task: dict[str, str]) -> timedelta:
    return datetime.fromisoformat(task["lockExpirationTime"]) - datetime.now(UTC)


async def test_a_lost_poll_frees_no_task_that_backs_off(world: World) -> None:
    world.model.fault("responses.create", times=None, outcome="refused")
    step = world.rig.step("late", service_retries="7", service_retries_delay="PT2H")
    instance = await world.start(await world.rig.deploy(step))
    await world.start_worker()
    await world.until_failed(instance)
    lost = world.engine.spoil("fetchAndLock", text=world.rig.topic, times=1, cut="before")
    await wait_until(lambda: lost.hits == 1, 20, "a lost poll")
    other = await world.start(await world.rig.deploy(world.rig.step("other")))
    await world.until_failed(other)  # after the looks for ghosts that come before each poll

    [task] = await world.rest.tasks(instance)
    assert task["retries"] == 6
    assert rests_until(task) > timedelta(hours=1)
    assert len(world.model.requests("responses.create")) == 2
