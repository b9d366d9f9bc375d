"""Who reads along while workers die hears what became of it, at a worker that lives."""

import aiohttp
import pytest

from tests.api.reading import event_stream
from tests.faults.world import World
from tests.servers.postgresql import PostgreSQL
from worker.demo.processes import HOST, free_port, running

pytestmark = pytest.mark.timeout(600)

WORDS = "Take the cheap one, because the dear one is no better, as far as anybody knows by now."


async def test_what_a_worker_said_that_is_killed_is_lost_and_its_answer_comes_whole_from_the_next(world: World) -> None:
    world.model.answer("Please do two", WORDS)
    world.model.fault("responses.create", text="Please do two", stream={"pause": 0.1, "after": 6, "then": "stall"})
    model = await world.rig.deploy(world.rig.step("one"), world.rig.step("two"))
    async with running(PostgreSQL()) as server:
        world.rig.settings |= {
            "transcript_url": f"postgresql://{server.user}:{server.password}@{HOST}:{server.port}/postgres"
        }
        port = free_port()
        await world.start_worker(topics="nothing-of-this", api_port=port)
        speaking = await world.start_worker(api_port=0)
        instance = await world.start(model)
        async with (
            aiohttp.ClientSession(f"http://{HOST}:{port}") as session,
            event_stream(session, f"/api/instances/{instance}/feed") as stream,
        ):
            heard = ""
            while "cheap" not in heard:
                heard += (await stream.next("delta", within=60)).data["text"]
            await speaking.kill()
            lost = await stream.next("lost", within=60)
            await world.start_worker(api_port=0)
            while (await stream.next("message", within=90)).data["content"] != WORDS:
                pass
        await world.ended()
    messages = [each.data["content"] for each in stream.heard if each.kind == "message"]
    assert WORDS.startswith(heard)
    assert lost.data["attempt"] == 1
    assert len(messages) == 4
    assert messages.count(WORDS) == 1
    assert world.rig.calls("responses.create") == 2, "no step was paid for twice"
