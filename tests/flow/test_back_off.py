"""A task that waits for its next try is left in peace by a stop."""

from datetime import UTC, datetime, timedelta

from tests.flow.rig import Rig


def rests_until(task: dict[str, str]) -> timedelta:
    return datetime.fromisoformat(task["lockExpirationTime"]) - datetime.now(UTC)


async def test_a_stop_frees_no_task_that_backs_off(rig: Rig) -> None:
    model = await rig.deploy(rig.step("late", service_retries="7", service_retries_delay="PT2H"))
    rig.provider.fault("responses.create", times=None, outcome="refused")
    worker = await rig.start_worker()
    instance = await rig.rest.start(model)
    await rig.until_failed(instance)
    await worker.stop()

    [task] = await rig.rest.tasks(instance)
    assert rests_until(task) > timedelta(hours=1)
