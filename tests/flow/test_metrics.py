"""What a scaler and an operator read of a working worker."""

import aiohttp
from structlog.testing import capture_logs

from tests.flow.rig import Rig
from tests.waiting import wait_until
from worker.demo.processes import HOST, free_port
from worker.runtime.version import VERSION


async def test_a_scrape_tells_what_waits_what_runs_and_how_much_could(rig: Rig) -> None:
    rig.provider.fault("responses.create", hold="gate")
    model = await rig.deploy(rig.step("frame"))
    for _ in range(3):
        await rig.rest.start(model)
    port = free_port()
    with capture_logs() as lines:
        await rig.start_worker(max_tasks=1, health_port=port)

        # The engine counts a task as taken before its worker has heard of that.
        busy = {f'worker_engine_tasks_waiting{{topic="{rig.topic}"}} 2.0', "worker_turns_in_flight 1.0"}

        async def scraped() -> set[str] | None:
            async with aiohttp.ClientSession() as client:
                try:
                    async with client.get(f"http://{HOST}:{port}/metrics") as reply:
                        shown = set((await reply.text()).splitlines())
                except aiohttp.ClientConnectionError:
                    return None
            return shown if busy <= shown else None

        shown = await wait_until(scraped, 30, "two tasks that wait beside one turn")

    assert "worker_slots 1.0" in shown
    assert f'worker_info{{engine="default",version="{VERSION}"}} 1.0' in shown
    assert [line["version"] for line in lines if line["event"] == "worker_started"] == [VERSION]
