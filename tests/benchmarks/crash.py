"""How long a task waits after kill -9 of the worker that had it, until another worker asks its question again."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic

from tests.benchmarks import subjects
from tests.benchmarks.provider import Provider
from tests.benchmarks.subjects import LOCK_SECONDS, Place
from tests.models import Model
from tests.rest import EngineRest
from tests.waiting import wait_until
from worker.demo.processes import running
from worker.demo.stage import Worker

RENEWAL_SECONDS = 2 * LOCK_SECONDS / 3
WORKERS = 2
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Death:
    """A worker that is gone since then (monotonic seconds), and the call that it left behind."""

    at: float
    instance: str
    task_id: str
    question: int
    conversation: str


@dataclass(slots=True)
class Crashes:
    """Two workers without work, of which one after the other dies; `model` has one task."""

    rest: EngineRest
    provider: Provider
    place: Place
    model: Model
    _stack: AsyncExitStack
    _workers: dict[str, Worker] = field(default_factory=dict)

    async def kill(self) -> Death:
        """Start an instance and kill whoever took its task, at a random moment between two renewals of the lock.

        The call runs at the provider meanwhile. It ends without an answer before the lock does: one that landed would
        be found on the conversation, and nobody had to ask again.
        """
        await asyncio.gather(*(self._start_worker() for _ in range(WORKERS - len(self._workers))))
        await self.provider.spoil({"times": 1, "during": RENEWAL_SECONDS + 1, "outcome": "failed"})
        asked = await self.provider.asked()
        instance = await self.rest.start(self.model, {"subject": "Which drone?"})
        question = await wait_until(lambda: self._question(asked), PATIENCE_SECONDS, "the first question")
        [task] = await self.rest.tasks(instance)
        worker = self._workers.pop(task["workerId"])
        # Not waiting for a thing: a death may come at any time.
        await asyncio.sleep(random.uniform(0, RENEWAL_SECONDS))  # noqa: S311 - guards nothing
        at = monotonic()
        await asyncio.to_thread(worker.kill)
        return Death(at, instance, task["id"], asked + 1, question)

    async def next_question(self, death: Death) -> float:
        """Return the seconds from the death to the next question, and see the instance to its end."""
        conversation = await wait_until(lambda: self._question(death.question), PATIENCE_SECONDS, "the next question")
        seconds = monotonic() - death.at
        assert conversation == death.conversation, "the thread changed under the task"
        await self.rest.wait_for_end(death.instance)
        return seconds

    async def _question(self, number: int) -> str | None:
        """Return the conversation of the question after so many others; None as long as it has not come."""
        later = (await self.provider.questions())[number:]
        return str(later[0]["conversation"]) if later else None

    async def _start_worker(self) -> None:
        worker = await self._stack.enter_async_context(running(subjects.worker(self.place)))
        started = next(line for line in worker.lines() if line["event"] == "worker_started")
        self._workers[started["worker_id"]] = worker


@asynccontextmanager
async def crashes(rest: EngineRest, provider: Provider, place: Place, model: Model) -> AsyncIterator[Crashes]:
    """Have the workers; all are gone afterwards."""
    async with AsyncExitStack() as stack:
        yield Crashes(rest, provider, place, model, stack)
