"""Starts what is measured, each in a process of its own, and brings its result back."""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.answer import ANSWER
from tests.benchmarks.peers.clients import Client
from worker.demo.processes import Process, running
from worker.demo.servers import CLEAN_ENVIRONMENT
from worker.demo.stage import PYTHON_ENVIRONMENT, Worker

ROOT = Path(__file__).parents[2]
RESULT = "result.json"
SLOTS = 50
IN_FLIGHT = 10
"""Completions that the bare loop has on their way: as many as the engine's pool has connections to its database."""
SHORT_POLLS = {"POLL_SECONDS": "2"}
"""Because a stop lets the last poll return. In a backlog no poll waits."""
USUAL_POLLS = {"POLL_SECONDS": "10"}
LOCK_SECONDS = 10
"""Of workers that are killed: the least there is."""
SHORT_LOCKS = {"LOCK_SECONDS": str(LOCK_SECONDS)}
RUN_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Place:
    """Where a subject works. `model_url` is the scripted model server's; None leaves the in-process model only.

    `settings` go to our worker in addition to the usual ones.
    """

    engine_url: str
    redis_url: str
    topic: str
    model_url: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


class Subject(Process):
    """A measured program of this package; it ends by itself and leaves a result."""

    def __init__(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        env = {**CLEAN_ENVIRONMENT, "PYTHONPATH": str(ROOT), **environment}
        super().__init__(name, command, ready=lambda: True, env=env)

    async def result(self) -> dict[str, Any]:
        """Wait for the end; RuntimeError, with its log, if it failed."""
        code = await asyncio.to_thread(self.wait, RUN_SECONDS)
        if code:
            raise RuntimeError(f"{self.name} ended with exit code {code}:\n{self.log_tail()}")
        result: dict[str, Any] = json.loads((self.directory / RESULT).read_text("utf-8"))
        return result


def bare(place: Place, tasks: int, in_flight: int = IN_FLIGHT, *, writes: bool = False) -> Subject:
    """Make the bare loop, to drain so many tasks; with the variables that our worker writes, or the answer alone."""
    options = ["--url", place.engine_url, "--topic", place.topic, "--in-flight", str(in_flight)]
    return Subject("bare", _program("bare", *options, "--expect", str(tasks), *(["--write"] if writes else [])), {})


def peer(client: Client, place: Place, tasks: int, model_seconds: float) -> Subject:
    """Make a client of others, to drain so many tasks, up to SLOTS at once, by a model this slow."""
    environment = {
        "URL": place.engine_url,
        "TOPIC": place.topic,
        "EXPECT": str(tasks),
        "SLOTS": str(SLOTS),
        "MODEL_SECONDS": str(model_seconds),
        "ANSWER": ANSWER,
        "OUT": RESULT,
    }
    return Subject(client.name, client.command, {**environment, **client.environment})


def ours(place: Place, tasks: int, model_seconds: float | None, stops: Sequence[int] = ()) -> Subject:
    """Make our worker, to drain so many tasks by an in-process model this slow, or None for the model server.

    It notes where it stands at each of `stops` completions.
    """
    noted = ["--stops", *map(str, stops)] if stops else []
    program = _program("ours", "--expect", str(tasks), *_model(model_seconds), *noted)
    return Subject("ours", program, _environment(place))


def ours_until(place: Place, file: Path) -> Subject:
    """Make our worker, to run with the model server until there is this file."""
    return Subject("ours", _program("ours", "--until", str(file)), _environment(place))


def idle(place: Place, seconds: float) -> Subject:
    """Make our worker, to poll as it usually does where no task comes."""
    program = _program("ours", "--idle-seconds", str(seconds), *_model(0))
    return Subject("ours", program, _environment(place, USUAL_POLLS))


def worker(place: Place) -> Worker:
    """Make our worker as it is installed, with the shortest lock and short polls. It runs until somebody ends it."""
    return Worker({**PYTHON_ENVIRONMENT, **_environment(place, SHORT_POLLS | SHORT_LOCKS)})


async def run(subject: Subject) -> dict[str, Any]:
    """Start it and return its result."""
    async with running(subject):
        return await subject.result()


def _program(name: str, *options: str) -> list[str]:
    return [sys.executable, "-m", f"tests.benchmarks.{name}", *options, "--out", RESULT]


def _model(seconds: float | None) -> list[str]:
    return [] if seconds is None else ["--model-seconds", str(seconds)]


def _environment(place: Place, pace: Mapping[str, str] = SHORT_POLLS) -> dict[str, str]:
    """Set where to work, the slots and the polls; everything else is as it comes."""
    provider = {"OPENAI_BASE_URL": place.model_url} if place.model_url else {}
    return {
        "ENGINE_URL": place.engine_url,
        "REDIS_URL": place.redis_url,
        "ASSISTANTS_DIR": str(ROOT / "bpmn" / "assistants"),
        "MAX_TASKS": str(SLOTS),
        "HEALTH_PORT": "0",
        "TRANSCRIPT_URL": "off",
        **pace,
        **provider,
        **place.settings,
    }
