"""A worker killed at each step of writing the transcript: nothing is missing afterwards, and nothing is there twice."""

from itertools import product

import pytest

from tests.flow.command import Forked, environment
from tests.flow.rig import Rig
from tests.flow.test_record import arrived
from tests.waiting import wait_until
from worker.demo.processes import running

POINTS = [
    "before:threads.keep_answer:2",
    "after:threads.keep_answer:2",
    "before:outbox.claim:2",
    "after:outbox.claim:2",
    "before:transcript.record:2",
    "after:transcript.record:2",
    "before:outbox.settle:2",
    "after:outbox.settle:2",
]
ALWAYS = {("sqlite", "after:transcript.record:2"), ("postgresql", "before:outbox.settle:2")}
"""Where a worker is killed with every run of the tests, and not in the sweeps alone."""


async def finished(rig: Rig, instance: str, dead: Forked) -> None:
    """Have another worker see an instance to its end, with what the dead one had in hand due at once."""
    async with rig.redis() as redis:  # rather than wait until the dead worker's claim is over
        name = "assistant-worker:default:unrecorded"
        for turn in await redis.zrange(name, 0, -1):
            await redis.zadd(name, {str(turn): 0})
    await rig.start_worker()

    async def over() -> bool:
        for task in await rig.rest.tasks(instance):  # nor until its locks are; its parked poll may take new ones
            if f"-{dead.pid}-" in str(task["workerId"]):
                await rig.rest.request("POST", f"external-task/{task['id']}/unlock")
        return await rig.rest.state(instance) == "COMPLETED"

    await wait_until(over, 90, "the end of the instance")


@pytest.mark.parametrize(
    ("kept", "point"),
    [
        pytest.param(*each, marks=[] if each in ALWAYS else pytest.mark.sweep)
        for each in product(["sqlite", "postgresql"], POINTS)
    ],
    indirect=["kept"],
)
async def test_a_death_at_any_step_of_writing_loses_and_doubles_nothing(kept: Rig, point: str) -> None:
    steps = [f"step{number}" for number in range(3)]
    model = await kept.deploy(*(kept.step(step, data_input="-") for step in steps))
    dying = Forked(environment(kept) | {"WORKER_FAIL_POINT": point})
    async with running(dying):
        instance = await kept.rest.start(model)
        assert await dying.exit_code() == -9
    await finished(kept, instance, dying)
    found = await arrived(kept, instance, 6)
    assert [(each.activity_id, each.role) for each in found] == [
        (step, role) for step in steps for role in ("user", "agent")
    ]
    results = await kept.rest.variables(instance)
    assert [each.content for each in found if each.role == "agent"] == [results[step] for step in steps]
    async with kept.redis() as redis:

        async def settled() -> bool:
            return int(await redis.zcard("assistant-worker:default:unrecorded")) == 0

        await wait_until(settled, 40, "the outbox to be empty")
