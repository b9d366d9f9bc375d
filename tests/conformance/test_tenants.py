"""Tenants: the same model and the same ids never share a thread; a worker may be limited to some."""

import asyncio

from tests.flow.rig import Rig
from tests.models import bpmn, unique


async def test_the_same_business_key_of_two_tenants_is_two_conversations(rig: Rig) -> None:
    model = bpmn(rig.step("frame", service_thread="business-key"))
    tenants = ("north", "south", None)
    for tenant in tenants:
        await rig.rest.deploy(model, tenant=tenant)
    await rig.start_worker()
    key = unique("order")
    instances = [await start(rig, model.key, key, tenant) for tenant in tenants for _ in range(2)]
    await asyncio.gather(*map(rig.rest.wait_for_end, instances))

    found = [(await rig.meta(instance, "frame"))["thread"] for instance in instances]
    assert found[::2] == found[1::2], "one conversation within a tenant"
    assert len(set(found)) == 3
    owners = {rig.provider.conversations()[thread]["metadata"].get("tenant", "") for thread in found}
    assert owners == {"north", "south", ""}


async def start(rig: Rig, key: str, business_key: str, tenant: str | None) -> str:
    """Without a tenant the engine has to be told so, once there are some."""
    path = f"process-definition/key/{key}" + (f"/tenant-id/{tenant}" if tenant else "")
    return str((await rig.rest.post(f"{path}/start", {"businessKey": business_key}))["id"])


async def test_a_worker_serves_the_tenants_it_is_told(rig: Rig) -> None:
    model = bpmn(rig.step("frame"))
    instances = {}
    for tenant in ("north", "south", "west", None):
        await rig.rest.deploy(model, tenant=tenant)
        instances[tenant] = await rig.rest.start(model, tenant=tenant)
    await rig.start_worker(tenants="north,south")
    await asyncio.gather(*(rig.rest.wait_for_end(instances[tenant]) for tenant in ("north", "south")))
    [west], [none] = await rig.rest.tasks(instances["west"]), await rig.rest.tasks(instances[None])
    assert (west["workerId"], none["workerId"]) == (None, None)

    await rig.start_worker(tenants="-")
    await rig.rest.wait_for_end(instances[None])
    [west] = await rig.rest.tasks(instances["west"])
    assert (west["workerId"], west["retries"]) == (None, None)

    await rig.start_worker(tenants="")
    await rig.rest.wait_for_end(instances["west"])
