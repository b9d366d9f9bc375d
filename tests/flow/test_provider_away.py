"""A provider that cannot be reached at all is an outage of every task, not a failure of any."""

import json

from tests.flow.command import started
from tests.flow.rig import Rig
from tests.waiting import wait_until
from worker.demo.model import ModelServer
from worker.demo.processes import free_port


async def test_a_provider_that_goes_away_stops_the_fetching_and_leaves_no_trace_on_a_task(rig: Rig) -> None:
    model = await rig.deploy(rig.step("one"))
    port = free_port()
    async with started(rig, openai_base_url=f"http://127.0.0.1:{port}/v1") as worker:
        async with ModelServer(port=port):
            await worker.until_ready()
            await rig.run(model)
        instances = [await rig.rest.start(model) for _ in range(3)]
        await wait_until(lambda: [x for x in worker.lines("dependency_down") if x["dependency"] == "provider"])
        status, text = await worker.get("readyz")
        assert (status, any("provider" in each for each in json.loads(text)["reasons"])) == (503, True)
        for instance in instances:
            [task] = await rig.rest.tasks(instance)
            assert (task["retries"], task["errorMessage"]) == (None, None)
        async with ModelServer(port=port):
            for instance in instances:
                await rig.rest.wait_for_end(instance, 40)
