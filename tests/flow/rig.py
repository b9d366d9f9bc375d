"""Workers, a model server and models of one test, all on topics that no other test uses."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from tests.models import Model, ServiceTask, bpmn, unique
from tests.rest import EngineRest
from tests.waiting import wait_until
from worker import bootstrap
from worker.demo.model import ModelServer
from worker.ports.providers import Watchers
from worker.settings import Settings

API_CALLS = {
    "conversations": "responses.create",
    "responses": "responses.create",
    "chat": "chat.completions.create",
}
"""What the scripted server calls a turn, by each API that a provider can have."""

SPEC = """\
---
name: {name}
version: "{version}"
model: gpt-5-mini
timeout_seconds: {timeout}
---
You are {name} in version {version}.
"""


@dataclass(slots=True)
class RunningWorker:
    """A worker as an asyncio task of the test."""

    stopping: asyncio.Event
    hurry: asyncio.Event
    task: asyncio.Task[None]

    async def stop(self) -> None:
        """Stop as SIGTERM does."""
        self.stopping.set()
        await self.task

    async def kill(self) -> None:
        """Be gone without telling anybody, as after kill -9: nothing is unlocked."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@dataclass(slots=True)
class Rig:
    """Everything a flow test touches. `settings` are overrides for every worker."""

    rest: EngineRest
    provider: ModelServer
    redis_url: str
    folder: Path
    topic: str = field(default_factory=lambda: unique("topic"))
    settings: dict[str, Any] = field(default_factory=dict)
    workers: list[RunningWorker] = field(default_factory=list)
    watchers: Watchers | None = None

    def assistant(self, name: str = "analyst", version: str = "1.0", timeout: int = 20, more: str = "") -> None:
        """Write a spec; `more` are lines of its front matter."""
        text = SPEC.format(name=name, version=version, timeout=timeout)
        text = text.replace("---\nYou", f"{more}\n---\nYou")
        (self.folder / f"{name}@{version}.md").write_text(text)

    def step(
        self, activity: str, assistant: str = "analyst", *, topic: str = "", documentation: str = "", **properties: str
    ) -> ServiceTask:
        """An assistant task on this test's topic; `_` in a property's name stands for `.`."""
        wanted = {"service.type": "assistant", "service.name": assistant}
        wanted |= {name.replace("_", "."): value for name, value in properties.items()}
        return ServiceTask(
            activity,
            topic or self.topic,
            name=activity.title(),
            documentation=documentation or f"Please do {activity}.",
            properties=wanted,
        )

    async def deploy(self, *steps: ServiceTask | list[ServiceTask], key: str = "") -> Model:
        """Deploy a sequence of steps; a list is a parallel fork and join."""
        model = bpmn(*steps, key=key)
        await self.rest.deploy(model)
        return model

    def build_settings(self, **overrides: Any) -> Settings:
        """Settings of one worker."""
        values: dict[str, Any] = {
            "engine_url": self.rest.base_url,
            "redis_url": self.redis_url,
            "openai_base_url": self.provider.base_url,
            "openai_api_key": "test-key-never-logged",
            "assistants_dir": self.folder,
            "topics": self.topic,
            "poll_seconds": 1,
            "lock_seconds": 10,
            "grace_seconds": 5,
            "health_port": 0,
            "transcript_url": "off",
        }
        return Settings(_env_file=None, **(values | self.settings | overrides))

    async def start_worker(self, **overrides: Any) -> RunningWorker:
        """Start a worker with a worker id of its own."""
        settings = self.build_settings(**overrides)
        stopping, hurry = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            async with bootstrap.connect(settings) as adapters:
                written = bootstrap.Written.read(settings)
                watched = replace(adapters, watchers=self.watchers or adapters.watchers)
                await bootstrap.work(written, watched, stopping, hurry)

        worker = RunningWorker(stopping, hurry, asyncio.create_task(work(), name=unique("worker")))
        self.workers.append(worker)
        return worker

    async def run(self, model: Model, variables: dict[str, Any] | None = None, **options: Any) -> str:
        """Start an instance and wait for its end."""
        instance = await self.rest.start(model, variables, **options)
        await self.rest.wait_for_end(instance)
        return instance

    async def until_open(self, instance: str, activity: str) -> dict[str, Any]:
        """Wait until the instance has reached this activity and return its external task."""

        async def reached() -> dict[str, Any] | None:
            return next((each for each in await self.rest.tasks(instance) if each["activityId"] == activity), None)

        task: dict[str, Any] = await wait_until(reached, what=f"{instance} to reach {activity}")
        return task

    async def until_failed(self, instance: str, deadline_seconds: float = 30) -> dict[str, Any]:
        """Wait until the instance's only external task has a failure's message, and return the task."""

        async def failed() -> dict[str, Any] | None:
            return next((each for each in await self.rest.tasks(instance) if each["errorMessage"]), None)

        task: dict[str, Any] = await wait_until(failed, deadline_seconds, f"a failure of {instance}")
        return task

    async def meta(self, instance: str, output: str) -> dict[str, Any]:
        """Read a result's meta variable."""
        meta: dict[str, Any] = json.loads((await self.rest.variables(instance))[f"{output}_meta"])
        return meta

    async def restarted(self, model: Model, instance: str, activity: str, *, initial: bool = False) -> str:
        """Start an instance anew before this activity, as an operator would, and wait for the end of the new one.

        `initial`: with the variables that it began with, and none of those that came later.
        """
        [row] = await self.rest.get("history/process-instance", processInstanceId=instance)
        order = {
            "processInstanceIds": [instance],
            "instructions": [{"type": "startBeforeActivity", "activityId": activity}],
            "initialVariables": initial,
        }
        await self.rest.post(f"process-definition/{row['processDefinitionId']}/restart", order)
        rows = await self.rest.get("history/process-instance", processDefinitionKey=model.key)
        [new] = [each["id"] for each in rows if each["restartedProcessInstanceId"] == instance]
        await self.rest.wait_for_end(new)
        return str(new)

    def questions(self, conversation: str | None = None) -> list[str]:
        """What the provider was asked, in order, on one conversation or at all."""
        bodies = [each["body"] for each in self.provider.requests("responses.create")]
        return [
            _text(body["input"])
            for body in bodies
            if conversation in (None, body["conversation"], _id(body["conversation"]))
        ]

    def calls(self, call: str) -> int:
        """How often the provider was called so."""
        return int(self.provider.counts()["calls"].get(call, 0))

    @asynccontextmanager
    async def redis(self) -> AsyncIterator[Redis]:
        """Look into Redis."""
        async with Redis.from_url(self.redis_url, decode_responses=True) as client:
            yield client


def _id(conversation: Any) -> Any:
    return conversation["id"] if isinstance(conversation, dict) else conversation


def _text(question: Any) -> str:
    if isinstance(question, str):
        return question
    content = question[-1]["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)
