"""Everything one fault test touches: real servers behind proxies, workers as processes, the history of it all."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Self, TypeVar

import aiohttp

from tests.faults.history import History
from tests.faults.http_proxy import HttpProxy
from tests.faults.redis_proxy import RedisProxy
from tests.flow.rig import Rig
from tests.nursery import Child, Nursery
from tests.rest import EngineRest
from tests.waiting import wait_until
from worker.demo.model import ModelServer
from worker.demo.processes import HOST
from worker.demo.servers import Valkey
from worker.demo.stage import PYTHON_ENVIRONMENT
from worker.failpoints import VARIABLE

T = TypeVar("T")

databases = count(2048)
"""Numbers of empty databases; the lower half belongs to the other tests."""
KEY = "sk-fault-key-never-logged"
CALM_SECONDS = 0.2
"""Between two questions to the engine: many tests wait side by side for the one that they share."""
START_SECONDS = 30.0
STOP_SECONDS = 30.0


async def calmly(question: Callable[[], Awaitable[T | None]], seconds: float, what: str) -> T:
    """Wait as `wait_until` does, for what only the engine can tell."""

    async def asked() -> T | None:
        value = await question()
        if not value:
            await asyncio.sleep(CALM_SECONDS)
        return value

    return await wait_until(asked, seconds, what)


@dataclass(slots=True)
class Worker:
    """A worker process. `lines` reads its log, which is JSON from the first line to the last."""

    child: Child
    log: Path
    fail_point: str | None = None

    def lines(self, event: str = "") -> list[dict[str, Any]]:
        """What it has logged so far, or one kind of line of it."""
        text = self.log.read_text("utf-8", errors="replace") if self.log.exists() else ""
        complete, _, _ = text.rpartition("\n")
        parsed = [json.loads(line) for line in complete.splitlines()]
        return [line for line in parsed if event in {"", line["event"]}]

    @property
    def id(self) -> str:
        """Its name at the engine."""
        return str(self._started()["worker_id"])

    @property
    def running(self) -> bool:
        return self.child.returncode is None

    async def started(self) -> Self:
        """Return when it has said that it started; AssertionError with its log when it does not."""

        def has_started() -> bool:
            return bool(self.log.exists() and '"worker_started"' in self.log.read_text("utf-8")) or not self.running

        await wait_until(has_started, START_SECONDS, "the start of a worker")
        assert self.fail_point or self.running, self.log.read_text("utf-8")
        return self

    async def kill(self) -> None:
        """Kill -9."""
        self.child.signal(signal.SIGKILL)
        await self.child.wait()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop and return its exit code."""
        self.child.signal(number)
        return await self.ended()

    async def ended(self, seconds: float = STOP_SECONDS) -> int:
        """Wait for its end by itself."""
        async with asyncio.timeout(seconds):
            return await self.child.wait()

    def freeze(self) -> None:
        self.child.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.child.signal(signal.SIGCONT)

    async def get(self, path: str) -> tuple[int, str]:
        """Status and text of one of its probes."""
        port = self._started()["health_port"]
        async with aiohttp.ClientSession() as session, session.get(f"http://{HOST}:{port}/{path}") as reply:
            return reply.status, await reply.text()

    async def is_ready(self) -> bool:
        return (await self.get("readyz"))[0] == 200

    async def metric(self, name: str) -> float:
        """The sum of a metric over its labels; the name may have some, as `worker_turns_total{verdict="fail"}`."""
        _, text = await self.get("metrics")
        values = [line.rsplit(" ", 1)[1] for line in text.splitlines() if line.startswith(name)]
        return sum(map(float, values))

    def _started(self) -> dict[str, Any]:
        return self.lines("worker_started")[0]


@dataclass(slots=True)
class World:
    """One test's parts. `rig` makes assistants, models and instances; workers reach everything through the proxies.

    `broken` breaks every worker to come, by the name of a function in tests/faults/broken.py.
    """

    rig: Rig
    nursery: Nursery
    valkey: Valkey
    folder: Path
    engine: HttpProxy
    provider: HttpProxy
    redis: RedisProxy
    history: History
    instances: list[str] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)
    broken: str = ""

    @property
    def rest(self) -> EngineRest:
        return self.rig.rest

    @property
    def model(self) -> ModelServer:
        return self.rig.provider

    async def start_worker(self, fail_point: str | None = None, **settings: Any) -> Worker:
        """Start a worker process; the settings are those of `worker.settings`, written small."""
        worker = await self.spawn(fail_point, **settings)
        return await worker.started()

    async def spawn(self, fail_point: str | None = None, **settings: Any) -> Worker:
        """Start a worker process and wait for nothing."""
        values = {**self.rig.settings, **settings}
        environment = {**PYTHON_ENVIRONMENT, **{name.upper(): str(value) for name, value in values.items()}}
        if fail_point:
            environment[VARIABLE] = fail_point
        log = self.folder / f"worker-{len(self.workers)}.log"
        child = await self.nursery.fork(environment, self.folder, log, self.broken)
        worker = Worker(child, log, fail_point)
        self.workers.append(worker)
        return worker

    async def start(self, *args: Any, **kwargs: Any) -> str:
        """Start an instance that the test has to see to its end."""
        instance = await self.rest.start(*args, **kwargs)
        self.instances.append(instance)
        return instance

    async def ended(self, *instances: str, seconds: float = 60) -> None:
        """Return when these instances, by default all of the test, have ended."""
        wanted = list(instances or self.instances)

        async def are_over() -> bool:
            body = {"processInstanceIds": wanted, "finished": True}
            count = await self.rest.post("history/process-instance/count", body)
            return bool(count["count"] == len(wanted))

        try:
            await calmly(are_over, seconds, "the end of all instances")
        except AssertionError as exc:
            open_tasks = [await self.rest.tasks(each) for each in wanted]
            exc.add_note(f"{self.history.tail()}\n{self.logs()[-4000:]}\n{open_tasks}")
            raise

    async def until_open(self, instance: str, activity: str) -> dict[str, Any]:
        """Wait until the instance has reached this activity and return its external task."""
        return await self._task(instance, lambda task: task["activityId"] == activity, 30)

    async def until_failed(self, instance: str, seconds: float = 20) -> dict[str, Any]:
        """Wait until a task of the instance has a failure's message, and return it."""
        return await self._task(instance, lambda task: bool(task["errorMessage"]), seconds)

    async def _task(self, instance: str, is_it: Callable[[dict[str, Any]], bool], seconds: float) -> dict[str, Any]:
        async def found() -> dict[str, Any] | None:
            return next((task for task in await self.rest.tasks(instance) if is_it(task)), None)

        return await calmly(found, seconds, f"a task of {instance}")

    async def locks_run_out(self) -> None:
        """Free every task of the test at once, as the locks of dead workers do in time."""
        for instance in self.instances:
            for task in await self.rest.tasks(instance):
                await self.rest.request("POST", f"external-task/{task['id']}/unlock")  # if it is still there

    async def insist(self, path: str, body: Any, method: str = "POST") -> None:
        """Have something done that the workers' own requests, at the same time, may win against."""

        async def is_done() -> bool:
            status, answer = await self.rest.request(method, path, body)
            assert status < 300 or (answer or {}).get("code") == 1, answer
            return status < 300

        await wait_until(is_done, what=path)

    async def turn_runs(self, number: int = 1) -> None:
        """Return when so many turns run at the provider."""
        await wait_until(lambda: len(self.model.counts()["running"]) >= number, 60, "turns at the provider")

    async def stop(self) -> None:
        """Stop all workers that run; AssertionError unless each exits with 0."""
        codes = await asyncio.gather(*(worker.stop() for worker in self.workers if worker.running))
        assert codes == [0] * len(codes), codes

    async def close(self) -> None:
        """End whatever still runs, frozen or not."""
        for inside in self.rig.workers:
            inside.stopping.set()
            inside.hurry.set()
        await asyncio.gather(*(inside.task for inside in self.rig.workers), return_exceptions=True)
        for worker in self.workers:
            worker.child.signal(signal.SIGKILL)
        await asyncio.gather(*(worker.child.wait() for worker in self.workers))

    def logs(self) -> str:
        """All that the workers printed; one that is killed at once has no log."""
        logs = [worker.log for worker in self.workers if worker.log.exists()]
        return "\n".join(log.read_text("utf-8", errors="replace") for log in logs)


@asynccontextmanager
async def open_world(
    rest: EngineRest, nursery: Nursery, valkey: Valkey, database: int, folder: Path
) -> AsyncIterator[World]:
    """Everything but a worker; `folder` is the test's own."""
    history = History()
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(ModelServer(key=KEY))
        engine = await stack.enter_async_context(HttpProxy("engine", rest.base_url, history))
        provider = await stack.enter_async_context(HttpProxy("provider", model.base_url, history))
        redis = await stack.enter_async_context(RedisProxy("redis", valkey.port, history, database))
        assistants = folder / "assistants"
        assistants.mkdir()
        settings = {
            "engine_url": engine.url,
            "redis_url": redis.url,
            "openai_base_url": provider.url,
            "openai_api_key": KEY,
            "assistants_dir": assistants,
            "poll_seconds": 1,
            "lock_seconds": 10,
            "grace_seconds": 5,
            "health_port": 0,
            "transcript_url": "off",
        }
        rig = Rig(rest, model, valkey.url(database), assistants, settings=settings)  # looks past the proxy
        settings["topics"] = rig.topic
        rig.assistant()
        world = World(rig, nursery, valkey, folder, engine, provider, redis, history)
        stack.push_async_callback(world.close)
        yield world
