"""The measure: a loop that fetches and completes, and nothing else. `python -m tests.benchmarks.bare`.

It polls as our worker does and completes with the same answer, because handing it over is the work itself; it writes
nothing beside it unless it is told to, knows no thread, no journal, no lease and no failure.
"""

import argparse
import asyncio
import json
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp

from tests.benchmarks.answer import ANSWER, META, THREAD
from tests.benchmarks.meter import Meter, hand_over

WORKER_ID = "bare-loop"
BATCH = 50


async def drain(url: str, topic: str, in_flight: int, meter: Meter, *, writes: bool) -> None:
    """Fetch and complete until the meter has seen enough.

    `writes`: with the variables that our worker writes, the one of the thread in a request of its own.
    """
    places = asyncio.Semaphore(in_flight)
    threads = set[str]()
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()) as session,
        asyncio.TaskGroup() as group,
    ):

        async def send(path: str, body: dict[str, Any], method: str = "POST") -> bytes:
            meter.sent(path)
            async with session.request(method, url + path, json=body) as response:
                response.raise_for_status()
                return await response.read()

        async def complete(task: dict[str, Any]) -> None:
            instance, step = task["processInstanceId"], task["activityId"].removeprefix("step_")
            variables = {"answer": ANSWER}
            if writes:
                variables = {f"answer_{step}": ANSWER, f"answer_{step}_meta": META}
            try:
                if writes and instance not in threads:
                    threads.add(instance)
                    await send(f"/process-instance/{instance}/variables/assistant_thread_analyst", _text(THREAD), "PUT")
                body = {"workerId": WORKER_ID, "variables": {name: _text(value) for name, value in variables.items()}}
                await send(f"/external-task/{task['id']}/complete", body)
            finally:
                places.release()
            meter.done(task["id"])

        while len(meter.fetched) < meter.expected:
            polled = meter.polls()
            body = await send("/external-task/fetchAndLock", _poll(topic))
            at = monotonic()
            for task in json.loads(body):
                meter.brought(polled, task["id"], datetime.fromisoformat(task["createTime"]).timestamp(), at)
                await places.acquire()
                group.create_task(complete(task), name=task["id"])


def _text(value: str) -> dict[str, str]:
    return {"value": value, "type": "String"}


def _poll(topic: str) -> dict[str, Any]:
    return {
        "workerId": WORKER_ID,
        "maxTasks": BATCH,
        "usePriority": False,
        "sorting": [{"sortBy": "createTime", "sortOrder": "asc"}],
        "asyncResponseTimeout": 1000,
        "topics": [
            {
                "topicName": topic,
                "lockDuration": 45_000,
                "deserializeValues": False,
            }
        ],
    }


async def _main(options: argparse.Namespace) -> None:
    meter = Meter(options.expect)
    await drain(options.url, options.topic, options.in_flight, meter, writes=options.write)
    hand_over(meter.result(), options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--in-flight", type=int, required=True, help="completions at the same time")
    parser.add_argument("--write", action="store_true", help="the variables that our worker writes")
    parser.add_argument("--expect", type=int, required=True, help="how many tasks to complete")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(_main(_options()))
