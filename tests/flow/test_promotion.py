"""A promotion under running tasks: the replica has lost the last second, the worker goes on."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.flow.rig import Rig
from tests.servers.redis_cluster import SentinelValkey
from tests.waiting import wait_until


@pytest.fixture
def servers() -> Iterator[SentinelValkey]:
    with SentinelValkey() as servers:
        yield servers


async def test_an_instance_ends_on_its_thread_when_redis_loses_the_turn_that_runs(
    rig: Rig, servers: SentinelValkey
) -> None:
    rig.redis_url = servers.url()
    model = await rig.deploy(rig.step("one"), rig.step("two"), rig.step("three"))
    await rig.start_worker()
    rig.provider.fault("responses.create", skip=1, hold="gate")
    instance = await rig.rest.start(model)
    await rig.until_open(instance, "one")
    await asyncio.to_thread(servers.cut_replication)
    await wait_until(lambda: rig.provider.counts()["running"], 20, "the second turn")

    await asyncio.to_thread(servers.master.kill)
    await asyncio.to_thread(servers.await_promotion)
    rig.provider.release("gate")
    await rig.rest.wait_for_end(instance, 60)

    assert await rig.rest.incidents(instance) == []
    assert rig.calls("responses.create") <= 4, "of three turns the one that Redis lost may be paid twice"
    assert rig.calls("conversations.create") <= 2, "at most one extra"
    variables = await rig.rest.variables(instance)
    assert {"one", "two", "three"} <= variables.keys()
    own = variables["assistant_thread_analyst"].partition("#")[0]
    assert rig.provider.counts()["turns"][own] >= 2
