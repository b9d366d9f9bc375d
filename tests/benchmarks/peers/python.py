"""The Python client, sync or async, as a subject of the bench. `python -m tests.benchmarks.peers.python sync`.

Told everything else by the environment. Both are measured around their own methods that poll and complete.
"""

import asyncio
import contextlib
import os
import sys
import traceback
from datetime import datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from camunda.external_task.async_external_task_worker import AsyncExternalTaskWorker
from camunda.external_task.external_task import ExternalTask, TaskResult
from camunda.external_task.external_task_worker import ExternalTaskWorker, NoExternalTaskFound

from tests.benchmarks.meter import Mark, Meter, hand_over

Polled = list[dict[str, Any]]
TOPIC, ANSWER = os.environ["TOPIC"], os.environ["ANSWER"]
MODEL_SECONDS, SLOTS = float(os.environ["MODEL_SECONDS"]), int(os.environ["SLOTS"])
CONFIG = {
    "maxTasks": SLOTS,
    "maxConcurrentTasks": SLOTS,
    "lockDuration": 45_000,
    "asyncResponseTimeout": 1000,
    "deserializeValues": False,
    "sorting": [{"sortBy": "createTime", "sortOrder": "asc"}],
}


def drain_one_by_one(meter: Meter) -> None:
    """Fetch up to SLOTS tasks and handle one after the other, which is all it can."""
    worker = ExternalTaskWorker("python-sync", os.environ["URL"], CONFIG)
    fetch, complete = worker.client.fetch_and_lock, worker.client.complete

    def noted_fetch(*args: Any) -> Polled:
        polled = _polls(meter)
        return _brought(meter, polled, fetch(*args))

    def noted_complete(task_id: str, *args: Any) -> bool:
        meter.sent("/complete")
        done: bool = complete(task_id, *args)
        meter.done(task_id)
        return done

    def answer(task: ExternalTask) -> TaskResult:
        sleep(MODEL_SECONDS)
        meter.model_seconds[task.get_task_id()] = MODEL_SECONDS
        return task.complete({"answer": ANSWER})

    worker.client.fetch_and_lock, worker.client.complete = noted_fetch, noted_complete
    while not meter.over.is_set():
        with contextlib.suppress(NoExternalTaskFound):
            worker.fetch_and_execute(TOPIC, answer)


async def drain_side_by_side(meter: Meter) -> None:
    """Let its loop run until all is done. It fetches one task at a time, and handles up to SLOTS at once."""
    worker = AsyncExternalTaskWorker("python-async", os.environ["URL"], CONFIG)
    fetch, complete = worker.client.fetch_and_lock, worker.client.complete

    async def noted_fetch(*args: Any) -> Polled:
        if len(meter.fetched) >= meter.expected:
            await meter.over.wait()  # a poll that is broken off would take the next subject's tasks
        polled = _polls(meter)
        return _brought(meter, polled, await fetch(*args))

    async def noted_complete(task_id: str, *args: Any) -> bool:
        meter.sent("/complete")
        try:
            done: bool = await complete(task_id, *args)
        except Exception:  # noqa: BLE001 - its loop would swallow it, and try again in five minutes
            traceback.print_exc()
            os._exit(1)
        meter.done(task_id)
        return done

    async def answer(task: ExternalTask) -> TaskResult:
        await asyncio.sleep(MODEL_SECONDS)
        meter.model_seconds[task.get_task_id()] = MODEL_SECONDS
        return task.complete({"answer": ANSWER})

    worker.client.fetch_and_lock, worker.client.complete = noted_fetch, noted_complete
    loop = asyncio.create_task(worker.subscribe({TOPIC: answer}), name="loop")
    await meter.over.wait()
    loop.cancel()


def _polls(meter: Meter) -> Mark:
    polled = meter.polls()
    meter.sent("/fetchAndLock")
    return polled


def _brought(meter: Meter, polled: Mark, tasks: Polled) -> Polled:
    at = monotonic()
    for task in tasks:
        meter.brought(polled, task["id"], datetime.fromisoformat(task["createTime"]).timestamp(), at)
    return tasks


async def _main(way: str) -> None:
    meter = Meter(int(os.environ["EXPECT"]))
    if way == "sync":
        drain_one_by_one(meter)
    else:
        await drain_side_by_side(meter)
    hand_over(meter.result(), Path(os.environ["OUT"]))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
