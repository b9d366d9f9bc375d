"""With all slots taken nothing is fetched: only renewals meet an outage then, and have to tell of it."""

from contextlib import AsyncExitStack

from tests.flow.gateway import gateway
from tests.flow.rig import Rig
from tests.waiting import wait_until
from worker.demo.servers import Valkey
from worker.telemetry import metrics


def paused(dependency: str) -> bool:
    return bool(metrics.PAUSED.labels(dependency)._value.get())


async def busy(rig: Rig, **settings: object) -> None:
    """A worker whose only slot is taken by a turn that is held."""
    model = await rig.deploy(rig.step("one"))
    rig.provider.fault("responses.create", hold="gate")
    await rig.start_worker(max_tasks=1, **settings)
    await rig.rest.start(model)
    await wait_until(lambda: rig.provider.counts()["running"], what="the turn")
    assert not paused("engine")
    assert not paused("redis")


async def test_an_engine_that_goes_away_is_noticed_by_the_renewal_of_a_lock(rig: Rig) -> None:
    async with AsyncExitStack() as stack:
        door = await stack.enter_async_context(gateway(rig.rest.base_url))
        await busy(rig, engine_url=door.url)
        await stack.aclose()
        await wait_until(lambda: paused("engine"), what="the outage to be noticed")
    rig.provider.release("gate")


async def test_a_redis_that_goes_away_is_noticed_by_the_renewal_of_a_hold(rig: Rig) -> None:
    with Valkey() as valkey:
        await busy(rig, redis_url=valkey.url())
        valkey.stop()
        await wait_until(lambda: paused("redis"), what="the outage to be noticed")
        rig.provider.release("gate")
