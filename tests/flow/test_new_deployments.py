"""How soon a new deployment is served, with the intervals that people get who set nothing."""

import asyncio

import pytest

from tests.flow.gateway import gateway
from tests.flow.rig import Rig
from tests.models import unique
from tests.waiting import wait_until


@pytest.mark.timeout(90)
async def test_a_new_deployment_is_served_within_15_seconds_whenever_the_polls_end(rig: Rig) -> None:
    first = await rig.deploy(rig.step("one", topic=unique("first")))
    async with gateway(rig.rest.base_url) as door:
        await rig.start_worker(engine_url=door.url, topics="", poll_seconds=10, discovery_seconds=10, grace_seconds=10)
        await rig.run(first)  # ends the first poll

        def looks() -> list[float]:
            return [each.at for each in door.requests("/process-definition/statistics")]

        known = len(looks())
        await wait_until(lambda: len(looks()) > known, 30, "the next look")
        looked_at = looks()[-1]
        clock = asyncio.get_running_loop().time
        topic = unique("second")
        new = await rig.deploy(rig.step("two", topic=topic))
        instance = await rig.rest.start(new)
        deployed_at = clock()
        # A task that ends the poll just before another look is due: the next poll lasts as long as ever.
        await wait_until(lambda: clock() - looked_at > 8.5, 20, "the moment")
        await rig.rest.start(first)
        await rig.rest.wait_for_end(instance)
        await rig.workers[0].kill()
    polls = [each.at for each in door.requests("/fetchAndLock") if topic in str(each.body["topics"])]
    seconds = polls[0] - deployed_at  # what follows the poll, on however busy a machine, is no part of the promise
    assert seconds < 15, f"{seconds:.1f} s"
