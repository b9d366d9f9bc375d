"""The measure: a loop that fetches and completes, and nothing else. `python -m tests.benchmarks.bare`.

It polls as our worker does and completes with the same answer, because handing it over is the work itself; it writes
nothing beside it, knows no thread, no journal, no lease and no failure.
"""

import argparse
import asyncio
import json
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp

from tests.benchmarks.answer import ANSWER
from tests.benchmarks.meter import Meter, hand_over

WORKER_ID = "bare-loop"
BATCH = 50


async def drain(url: str, topic: str, in_flight: int, meter: Meter) -> None:
    """Fetch and complete until the meter has seen enough."""
    places = asyncio.Semaphore(in_flight)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()) as session,
        asyncio.TaskGroup() as group,
    ):

        async def send(path: str, body: dict[str, Any]) -> bytes:
            meter.sent(path)
            async with session.post(url + path, json={"workerId": WORKER_ID, **body}) as response:
                response.raise_for_status()
                return await response.read()

        async def complete(task_id: str) -> None:
            body = {"variables": {"answer": {"value": ANSWER, "type": "String"}}}
            try:
                await send(f"/external-task/{task_id}/complete", body)
            finally:
                places.release()
            meter.done(task_id)

        while len(meter.fetched) < meter.expected:
            polled = meter.polls()
            body = await send("/external-task/fetchAndLock", _poll(topic))
            at = monotonic()
            for task in json.loads(body):
                meter.brought(polled, task["id"], datetime.fromisoformat(task["createTime"]).timestamp(), at)
                await places.acquire()
                group.create_task(complete(task["id"]), name=task["id"])


def _poll(topic: str) -> dict[str, Any]:
    return {
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
    await drain(options.url, options.topic, options.in_flight, meter)
    hand_over(meter.result(), options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--in-flight", type=int, required=True, help="completions at the same time")
    parser.add_argument("--expect", type=int, required=True, help="how many tasks to complete")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(_main(_options()))
