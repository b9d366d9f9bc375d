"""Loads that are larger than those of the tests: ten thousand tasks, and values of many megabytes."""

import asyncio
import json
import os
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import aiohttp

from tests.faults.checkers import Explained, check
from tests.faults.ground import Ground, peak_megabytes, resident_megabytes, say
from tests.faults.world import World, calmly
from tests.models import Model
from tests.waiting import wait_until

STARTERS = 12
BACKLOG_SECONDS = 3600.0
TELL_SECONDS = 10.0
MOST_MORE_MEGABYTES = 40
"""What a load may take beyond what a worker has at first. That is the nursery's, which imports more than any worker."""
MEGABYTE = 1_000_000


async def backlog(ground: Ground, tasks: int) -> dict[str, Any]:
    """Each task has a thread of its own, so that all slots are busy."""
    return await _drain(ground, tasks, threads=tasks)


async def crowd(ground: Ground, tasks: int) -> dict[str, Any]:
    """All instances have one business key, and one conversation by it: one turn at a time, and nobody is forgotten."""
    return await _drain(ground, tasks, threads=1, service_thread="business-key")


async def _drain(ground: Ground, tasks: int, threads: int, **properties: str) -> dict[str, Any]:
    world = ground.world
    # Without asyncAfter, so that the engine's job executor does not set the pace.
    model = await world.rig.deploy(replace(world.rig.step("one", **properties), async_after=False))
    began = time.monotonic()
    await _start_many(world, model, tasks)
    say(f"{tasks} instances were started in {time.monotonic() - began:.0f} s")
    workers = [await world.start_worker(max_tasks=20, **ground.past_the_proxies()) for _ in range(2)]
    at_first = [resident_megabytes(worker) for worker in workers]
    began = time.monotonic()
    await _until_drained(world, model)
    seconds = time.monotonic() - began
    peaks = [peak_megabytes(worker) for worker in workers]
    parked = sum([await worker.metric("worker_tasks_parked_total") for worker in workers])
    await world.stop()

    await _each_once(world, model, tasks)
    assert len(world.model.counts()["turns"]) == threads
    more = [peak - first for peak, first in zip(peaks, at_first, strict=True)]
    assert max(more) <= MOST_MORE_MEGABYTES, f"workers had {at_first} MB, and later {peaks}"
    return {
        "tasks": tasks,
        "threads": threads,
        "seconds": round(seconds),
        "tasks_a_second": round(tasks / seconds, 1),
        "parked": round(parked),
        "worker_megabytes": at_first,
        "worker_peak_megabytes": peaks,
    }


async def _start_many(world: World, model: Model, count: int) -> None:
    numbers = iter(range(count))

    async def starter() -> None:
        for _ in numbers:
            await world.rest.start(model, business_key=world.rig.topic)

    async with asyncio.TaskGroup() as group:
        for _ in range(STARTERS):
            group.create_task(starter(), name="starter")


async def _until_drained(world: World, model: Model) -> None:
    told = time.monotonic()

    async def is_empty() -> bool:
        nonlocal told
        left = (await world.rest.get("external-task/count", processDefinitionKey=model.key))["count"]
        if time.monotonic() - told > TELL_SECONDS:
            told = time.monotonic()
            say(f"{left} tasks are left")
        await asyncio.sleep(1)
        return bool(left == 0)

    await wait_until(is_empty, BACKLOG_SECONDS, "the end of all tasks")


async def _each_once(world: World, model: Model, tasks: int) -> None:
    """What engine and model server remember, without the single exchanges, which nobody noted."""

    async def count(path: str, **wanted: Any) -> int:
        return int((await world.rest.get(f"history/{path}/count", **wanted))["count"])

    key = {"processDefinitionKey": model.key}
    assert await count("process-instance", finished=True, **key) == tasks
    assert await count("external-task-log", successLog=True, **key) == tasks
    assert await count("external-task-log", failureLog=True, **key) == 0
    assert await count("incident", processDefinitionKeyIn=model.key) == 0
    asked = Counter(question.splitlines()[-1] for question in world.rig.questions())
    assert (len(asked), asked.total()) == (tasks, tasks), asked.most_common(3)


async def huge(ground: Ground) -> dict[str, Any]:
    """A file of 50 MB is named and not read, a text of 15 MB has no room in a question; nobody else notices."""
    world = ground.world
    model = await world.rig.deploy(world.rig.step("one", data_input="poison"))
    names_it = await world.rig.deploy(world.rig.step("one"))
    before = [await world.start(model, {"poison": "small"}) for _ in range(5)]
    file = await world.start(names_it)
    await _upload(world, file, os.urandom(50 * MEGABYTE))
    text = await world.start(model, {"poison": _text(15 * MEGABYTE)})
    after = [await world.start(model, {"poison": "small"}) for _ in range(5)]
    worker = await world.start_worker(max_tasks=20)
    await world.ended(file, *before, *after, seconds=120)

    async def is_settled() -> bool:
        return any(task["retries"] == 0 for task in await world.rest.tasks(text)) or not await world.rest.tasks(text)

    await calmly(is_settled, 120, "the end of the text")
    left = await world.rest.tasks(text)
    assert await worker.is_ready()
    peak = peak_megabytes(worker)
    await world.stop()

    unread = frozenset({text}) if left else frozenset()
    await check(world, Explained(retries=0, incidents=len(unread), unfinished=unread))
    return {"text": left[0]["errorMessage"] if left else "answered", "worker_peak_megabytes": [peak]}


def _text(size: int) -> dict[str, Any]:
    info = {"objectTypeName": "java.lang.String", "serializationDataFormat": "application/json"}
    return {"type": "Object", "value": json.dumps("x" * size), "valueInfo": info}


async def _upload(world: World, instance: str, content: bytes) -> None:
    """Make it a file variable. The engine takes it in no other way: its JSON has a limit of 20 MB for a value."""
    form = aiohttp.FormData()
    form.add_field("data", content, filename="huge.bin", content_type="application/octet-stream")
    form.add_field("valueType", "File")
    url = f"{world.rest.base_url}/process-instance/{instance}/variables/poison/data"
    async with aiohttp.ClientSession() as session, session.post(url, data=form) as reply:
        assert reply.status == 204, await reply.text()
