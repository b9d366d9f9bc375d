"""What a test sees of a provider with limits: its calls, the parks, and what is kept in Redis."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from tests.core.rig import Core, Worker
from tests.fakes.engine import Job
from worker.domain.providers import Limits
from worker.domain.threads import ThreadKey

BURST = 6.0
"""Seconds by which calls may be ahead of an even pace."""
PLANNED = 3.0
"""The part of it that is planned with; the rest is for who is late, or dearer than was thought."""
HORIZON = 30.0
"""Seconds for which seats are kept."""
SCARCE = Limits(at_once=1, requests_per_minute=1, tokens_per_minute=100)


@dataclass(slots=True)
class Call:
    began: float
    tokens: int = 0


class Watch:
    """The calls of the provider `openai`, each of which takes `seconds`."""

    def __init__(self, core: Core, seconds: Callable[[], float] = lambda: 1.0) -> None:
        self.calls: list[Call] = []
        self.running = self.most = 0
        self._seconds = seconds
        core.provider.script.always("ask", self._call)

    async def _call(self) -> None:
        self.calls.append(Call(now()))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self._seconds())
        finally:
            self.running -= 1

    def busiest(self, after: float = 0.0) -> int:
        """The most calls that began within any minute."""
        return max(len(each) for each in self._minutes(after))

    def dearest(self, after: float) -> int:
        """The most tokens of calls that began within any minute."""
        return max(sum(call.tokens for call in each) for each in self._minutes(after))

    def _minutes(self, after: float) -> list[list[Call]]:
        beginnings = [call.began for call in self.calls if call.began >= after]
        return [[call for call in self.calls if first <= call.began < first + 60] for first in beginnings]


def key_of(job: Job) -> ThreadKey:
    return ThreadKey("default", job.task.process_instance_id, "analyst")


def now() -> float:
    return asyncio.get_running_loop().time()


def parks(core: Core) -> Counter[str]:
    """How often each task was parked, by all workers."""
    told = [each for worker in core._workers for each in worker.engine.script.named("extend")]
    return Counter(task_id for task_id, duration in told if duration is not None)


def each_on_its_own(core: Core) -> None:
    """Have tasks of one instance that wait for none of the others."""
    properties = {"service.type": "assistant", "service.name": "analyst", "service.thread": "activity"}
    core.world.activity(properties=properties)


@asynccontextmanager
async def crew(core: Core, count: int, slots: int = 4) -> AsyncIterator[list[Worker]]:
    """Workers that poll."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(core.working(slots=slots)) for _ in range(count)]


async def ends(core: Core, jobs: list[Job]) -> dict[str, float]:
    """Wait until these are over; how many seconds each took."""
    began, found = now(), dict[str, float]()

    def over() -> bool:
        for job in jobs:
            if job.gone:
                found.setdefault(job.task.id, now() - began)
        return len(found) == len(jobs)

    await core.until(over)
    return found


async def meters(core: Core) -> tuple[float, float]:
    """Until when requests and tokens are paid for, in seconds from now."""
    [name] = await core.redis.keys("aw:{limits:openai:*}:meters")
    seconds, micros = await core.redis.time()
    values = await core.redis.hmget(name, "requests", "tokens")
    requests, tokens = (float(value or 0) / 1000 - seconds - micros / 1_000_000 for value in values)
    return requests, tokens
