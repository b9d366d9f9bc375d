"""Tasks as nobody should model them, made up by the dozen, on a real engine beside healthy ones: each of them ends."""

import asyncio
import json
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from tests.flow.rig import Rig
from tests.models import Model, ServiceTask, bpmn
from tests.unit.test_hostile import Maker
from tests.waiting import wait_until

HOSTILE = 40
FEWEST = 24
"""Of those: engines refuse some models and variables themselves."""

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.sweep)])
async def test_healthy_instances_complete_beside_tasks_that_say_anything(rig: Rig, seed: int) -> None:
    make = Maker(seed)
    healthy = await rig.deploy(rig.step("healthy", data_input="-"))
    hostile = [each for number in range(HOSTILE) if (each := await reach(rig, make, number)) is not None]
    assert len(hostile) >= FEWEST
    instances = [await rig.rest.start(healthy) for _ in range(10)]
    await rig.start_worker(max_tasks=3, trouble_for_seconds=1)

    await asyncio.gather(*(rig.rest.wait_for_end(each, 120) for each in instances))
    await asyncio.gather(*(wait_until(partial(has_ended, rig, each), 60, f"the end of {each}") for each in hostile))


async def reach(rig: Rig, make: Maker, number: int) -> str | None:
    """Have an instance come to a task that says anything, with any variables; None if the engine has none of it."""
    said = {written(name): written(text) for name, text in make.said().items()} if make.random() < 0.5 else {}
    # None of them waits, as one for an assistant or a version does that may yet come.
    said |= {"service.type": "assistant", "service.name": "analyst", "service.retries": "1"}
    said.pop("service.version", None)
    step = ServiceTask(f"hostile{number}", rig.topic, documentation=written(make.text()), properties=said)
    variables = {name: typed(each.value) for name, each in make.variables().items()}
    with suppress(AssertionError, ValueError):  # what JSON cannot hold, or the engine does not take
        return await rig.rest.start(await deployed(rig, step), variables)
    return None


async def deployed(rig: Rig, step: ServiceTask) -> Model:
    model = bpmn(step)
    await rig.rest.deploy(model)
    return model


def typed(value: Any) -> dict[str, Any]:
    """A text as it is, anything else as JSON."""
    if isinstance(value, str):
        return {"value": value, "type": "String"}
    return {"value": json.dumps(value), "type": "Json"}


def written(text: str) -> str:
    """Leave out what no XML can hold."""
    return "".join(each for each in text if each.isprintable())


async def has_ended(rig: Rig, instance: str) -> bool:
    """Whether an instance is over, or its task is an incident that says something."""
    if await rig.rest.state(instance) != "ACTIVE":
        return True
    tasks = await rig.rest.tasks(instance)
    return any(each["retries"] == 0 and each["errorMessage"] for each in tasks)
