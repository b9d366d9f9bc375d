"""One poisoned thing of each sort at once, all before ten healthy instances: those complete, and each sort is named."""

import asyncio

import pytest

from tests import poison
from tests.flow.gateway import gateway
from tests.flow.rig import Rig
from tests.poison import POISONS
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(180)


@pytest.mark.sweep
async def test_ten_healthy_instances_complete_behind_one_poisoned_thing_of_each_sort(kept: Rig) -> None:
    rig = kept
    await poison.remember(rig)
    healthy = await rig.deploy(rig.step("healthy", data_input="-"))
    async with gateway(rig.rest.base_url) as door:
        models = {name: await poison.deploy(rig, door, name, service_retries="1") for name in POISONS}
        poisoned = {name: await rig.rest.start(model, POISONS[name].variables) for name, model in models.items()}
        await rig.rest.start(await poison.deploy_unwritable(rig, door))
        instances = [await rig.rest.start(healthy) for _ in range(10)]
        worker = await rig.start_worker(
            engine_url=door.url,
            topics="",
            max_tasks=3,
            input_tokens=10_000,
            trouble_for_seconds=1,
            memory="embedded",
        )

        await asyncio.gather(*(rig.rest.wait_for_end(each, 120) for each in instances))
        heard_of = [name for name, each in POISONS.items() if each.completes or each.said]
        await asyncio.gather(*(ends(rig, poisoned[name], name) for name in heard_of))
        await worker.kill()


async def ends(rig: Rig, instance: str, name: str) -> None:
    """The instance completes, or its task says what is wrong with it."""
    await wait_until(lambda: poison.has_ended(rig, instance, name), 60, f"the end of {name}")
