"""Two worker processes and a provider that goes away: one finds it, one at a time probes, both go on."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from tests.flow.command import Command, started
from tests.flow.rig import Rig
from tests.waiting import wait_until
from worker.demo.model import ModelServer
from worker.demo.processes import free_port


async def reasons(worker: Command) -> list[str]:
    said: Any = json.loads((await worker.get("readyz"))[1])
    return list(said.get("reasons", []))


async def down(worker: Command) -> bool:
    return any(each.startswith("provider: ") for each in await reasons(worker))


async def up(worker: Command) -> bool:
    return (await worker.get("readyz"))[0] == 200


def outages(worker: Command) -> list[dict[str, Any]]:
    """What it has said of the provider: of an engine that is slow beside many other tests it may say something, too."""
    return [line for line in worker.lines("dependency_down") if line["dependency"] == "provider"]


async def all_of(state: Callable[[Command], Awaitable[bool]], *workers: Command) -> bool:
    return all([await state(each) for each in workers])


async def test_an_outage_that_one_worker_meets_is_known_to_the_other_without_a_task_and_over_for_both(rig: Rig) -> None:
    other = f"{rig.topic}_other"
    model = await rig.deploy(rig.step("one"))
    others = await rig.deploy(rig.step("one", topic=other))
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1"
    async with (
        started(rig, openai_base_url=url) as one,
        started(rig, openai_base_url=url, topics=other) as two,
    ):
        async with ModelServer(port=port):
            await wait_until(lambda: all_of(up, one, two), 30, "both to be ready")
            await rig.run(model)
        instances = [await rig.rest.start(model)]
        await wait_until(lambda: outages(one), what="the one to meet it")
        await wait_until(lambda: down(two), what="the other to hear of it")
        instances.append(await rig.rest.start(others))
        async with ModelServer(port=port) as back:
            for instance in instances:
                await rig.rest.wait_for_end(instance, 60)
            assert len(back.requests("responses.create")) == 2
        [heard] = outages(two)
        called_early = [line for line in two.lines("turn") if line["verdict"] == "unlock"]

    assert "(found by assistant-worker-" in heard["reason"]
    assert called_early == [], "it has spent no call on finding out"


async def test_when_the_worker_that_probes_is_killed_the_other_probes_and_goes_on(rig: Rig) -> None:
    model = await rig.deploy(rig.step("one"))
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1"
    async with started(rig, openai_base_url=url) as one, started(rig, openai_base_url=url) as two:
        async with ModelServer(port=port):
            for worker in (one, two):
                await worker.until_ready()
            await rig.run(model)
        instance = await rig.rest.start(model)
        await wait_until(lambda: all_of(down, one, two), 30, "both to know of it")
        prober = await wait_until(lambda: probing(rig), what="a worker that probes")
        killed, left = (one, two) if f"-{one.pid}-" in prober else (two, one)
        await asyncio.to_thread(killed.kill)
        async with ModelServer(port=port):
            await wait_until(lambda: all_of(up, left), 60, "the other to probe")
            await rig.rest.wait_for_end(instance, 60)


async def probing(rig: Rig) -> str:
    """The id of the worker that probes."""
    async with rig.redis() as redis:
        [name] = await redis.keys("assistant-worker:{outage:openai:*}") or [""]
        return str((await redis.hgetall(name)).get("prober") or "")
