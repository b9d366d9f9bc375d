"""The parts of the demo, each a process of its own: engine, Valkey, a server of answers, workers."""

import asyncio
import fcntl
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from worker.demo.engine import Engine, Kind
from worker.demo.jars import cache_directory
from worker.demo.processes import HOST, Process, free_port, http_ok, running
from worker.demo.rest import Failed
from worker.demo.samples import ROOT
from worker.demo.servers import CLEAN_ENVIRONMENT, Valkey
from worker.demo.small_model import CONTEXT_TOKENS, MODEL, SmallModel
from worker.telemetry.logs import Event

COCKPIT_PORT: Final = 8080
PAGE_PORT: Final = 8091

# A short poll makes a stop quick. After a kill it also matters that the dead worker's last poll is soon over, because
# until then it may be given a task, and that the new worker asks again soon, because a lapsed lock wakes no poll.
POLL_SECONDS: Final = 2
GRACE_SECONDS: Final = 5
DISCOVERY_SECONDS: Final = 2
"""The worker may look for models before they are deployed."""

PYTHON_ENVIRONMENT: Final = {**CLEAN_ENVIRONMENT, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
"""For programs of this package: it need not be installed, and they work in directories of their own."""

SMALL_MODEL: Final = {
    "model": MODEL,
    "provider": "local",
    "timeout_seconds": "600",
    # Held to it by a grammar: left to itself it often finds no end.
    "max_output_tokens": "500\noutput_schema: {type: object, required: [answer], additionalProperties: false, "
    "properties: {answer: {type: string, maxLength: 400}}}",
}
"""What the assistants' specs say where the small model answers: it is slow, and no example to anybody."""

PROVIDER: Final = ("OPENAI_API_KEY", "OPENAI_BASE_URL")
"""Either of them in the environment means that the real provider answers."""

_WAY_TO_PROVIDER: Final = (
    *PROVIDER,
    *("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"),
)

P = TypeVar("P", bound=Process)
Ready = Callable[[str, float, str], None]
"""Told of each part that is ready: its name, how many seconds that took, where it is."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a worker locks a task, and how long a scripted answer takes."""

    lock_seconds: int
    latency_seconds: float


class ScriptedModel(Process):
    """The scripted model server, in the place of the provider."""

    def __init__(self, latency_seconds: float) -> None:
        port = free_port()
        options = ["--port", str(port), "--latency", str(latency_seconds)]
        super().__init__(
            "model-server",
            [sys.executable, "-m", "worker.demo.model", *options],
            ready=lambda: http_ok(port, "/control/counts"),
            port=port,
            env=PYTHON_ENVIRONMENT,
        )

    @property
    def base_url(self) -> str:
        """What goes into OPENAI_BASE_URL."""
        return f"http://{HOST}:{self.port}/v1"

    @property
    def control_url(self) -> str:
        """Where it tells what it counted."""
        return f"http://{HOST}:{self.port}/control"


class Worker(Process):
    """`assistant-worker run`, told everything by its environment; its log is read as it grows."""

    def __init__(self, env: Mapping[str, str]) -> None:
        super().__init__("worker", [sys.executable, "-m", "worker", "run"], ready=self._started_up, env=env)
        self._read_bytes = 0

    def lines(self) -> list[dict[str, Any]]:
        """The log lines since the last call. What is no JSON, such as a crash of the interpreter, is left out."""
        with self.log.open("rb") as log:
            log.seek(self._read_bytes)
            complete, newline, _ = log.read().rpartition(b"\n")
        self._read_bytes += len(complete + newline)
        return [line for line in map(_parsed, complete.splitlines()) if line]

    def _started_up(self) -> bool:
        return any((_parsed(line) or {}).get("event") == Event.STARTED for line in self.log.read_bytes().splitlines())


class Stage:
    """All parts that run; `worker` is the one that is meant to live."""

    def __init__(
        self,
        stack: AsyncExitStack,
        ready: Ready,
        servers: tuple[Engine, Valkey, ScriptedModel | SmallModel | None],
        settings: Mapping[str, str],
    ) -> None:
        self.engine, self.valkey, self.model = servers
        self.worker: Worker
        self._stack = stack
        self._ready = ready
        self._settings = settings
        self._workers: list[Worker] = []

    async def start_worker(self) -> Worker:
        """Start a worker; from now on it is the one that has to live."""
        worker = await _start(self._stack, self._ready, "worker", lambda: Worker(self._environment()))
        self._workers.append(worker)
        self.worker = worker
        return worker

    def page(self, instance: str) -> str:
        """Where Cockpit shows a process instance as long as it runs."""
        return f"{self.engine.cockpit_url}default/#/process-instance/{instance}/runtime"

    def conversation(self, instance: str) -> str:
        """Where the worker's page shows what was said in a process instance."""
        return f"http://{HOST}:{self._settings['API_PORT']}/instances/{instance}"

    def decision(self, record: str) -> str:
        """Where the worker's page shows the record of a decision."""
        return f"http://{HOST}:{self._settings['API_PORT']}/decisions/{record}"

    def command(self, words: str) -> str:
        """How a command reaches what the worker works with, as long as that is up."""
        names = ("ENGINE_URL", "REDIS_URL", "TRANSCRIPT_URL", "ASSISTANTS_DIR")
        settings = {**self._settings, "ENGINE_URL": self.engine.base_url, "REDIS_URL": self.valkey.url()}
        return " ".join([*(f"{name}={settings[name]}" for name in names), f"assistant-worker {words}"])

    def tasklist(self, task: str) -> str:
        """Where a person completes a user task."""
        tasklist = self.engine.cockpit_url.replace("/cockpit/", "/tasklist/")
        return f"{tasklist}default/#/?task={task}"

    def log_lines(self) -> list[dict[str, Any]]:
        """What the workers logged since the last call, dead ones first."""
        return [line for worker in self._workers for line in worker.lines()]

    def check(self) -> None:
        """Raise Failed, with the tail of its log, when a part has ended that should run."""
        for part in (self.worker, self.engine, self.valkey, self.model):
            if part is not None and not part.running:
                raise Failed(
                    f"{part.name} ended with exit code {part.returncode}; its log ends so:\n{part.log_tail(15)}"
                )

    def _environment(self) -> dict[str, str]:
        provider = {name: os.environ[name] for name in _WAY_TO_PROVIDER if os.environ.get(name)}
        if isinstance(self.model, SmallModel):
            provider = {}  # it is in the settings, and nobody's key is for it
        elif self.model is not None:
            provider = {"OPENAI_BASE_URL": self.model.base_url, "OPENAI_API_KEY": "scripted"}
        return {
            **PYTHON_ENVIRONMENT,
            **provider,
            **self._settings,
            "ENGINE_URL": self.engine.base_url,
            "REDIS_URL": self.valkey.url(),
        }


@asynccontextmanager
async def side_by_side() -> AsyncIterator[asyncio.TaskGroup]:
    """Several tasks at once; when one fails the others are cancelled, and its exception is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


def is_scripted() -> bool:
    """Whether the scripted model server answers, as nobody named a provider in the environment."""
    return not any(os.environ.get(name) for name in PROVIDER)


@asynccontextmanager
async def set_up(
    assistants: Path, pace: Pace, ready: Ready, *, engine: Kind = "operaton", local: bool = False
) -> AsyncIterator[Stage]:
    """Start everything but a worker; whatever was started is gone when the context ends. `assistants` is absolute.

    `local`: the small model answers, which is installed. StartError: a part did not get ready.
    """
    settings = {
        "ASSISTANTS_DIR": str(assistants),
        "LOCK_SECONDS": str(pace.lock_seconds),
        "POLL_SECONDS": str(POLL_SECONDS),
        "GRACE_SECONDS": str(GRACE_SECONDS),
        "DISCOVERY_SECONDS": str(DISCOVERY_SECONDS),
        "HEALTH_PORT": "0",
        "LOG_FORMAT": "json",
    }
    async with AsyncExitStack() as stack:
        cockpit_port = stack.enter_context(_cockpit_port())
        page_port = stack.enter_context(_port("page", PAGE_PORT))
        # One for all workers: the one that follows a dead one shows what that one said.
        record = stack.enter_context(tempfile.TemporaryDirectory(prefix="assistant-worker-record-"))
        settings |= {
            "API_PORT": str(page_port),
            "API_FRAMES": f"http://{HOST}:{cockpit_port},http://localhost:{cockpit_port}",
            "TRANSCRIPT_URL": f"sqlite:///{record}/transcript.db",
            "MEMORY": "embedded",
        }
        async with side_by_side() as group:
            valkey = group.create_task(_start(stack, ready, "Valkey", Valkey), name="start Valkey")
            model = group.create_task(
                _model(stack, ready, pace.latency_seconds, local=local), name="start model server"
            )
            make_engine = partial(Engine, engine, port=cockpit_port, conversations=f"http://{HOST}:{page_port}")
            started = group.create_task(_start(stack, ready, engine.capitalize(), make_engine), name="start engine")
        served = model.result()
        if isinstance(served, SmallModel):
            settings |= _for_small_model(served, assistants, Path(record))
        yield Stage(stack, ready, (started.result(), valkey.result(), served), settings)


def _for_small_model(served: SmallModel, assistants: Path, folder: Path) -> dict[str, str]:
    """Name the small model as the provider, and make copies of the assistants that ask it."""
    provider = f"api: chat, base_url: '{served.base_url}', context_tokens: {CONTEXT_TOKENS}"
    (folder / "providers.yaml").write_text(f"providers:\n  local: {{{provider}}}\n", "utf-8")
    copies = folder / "assistants"
    copies.mkdir()
    for spec in assistants.iterdir():
        text = spec.read_text("utf-8")
        for name, value in SMALL_MODEL.items():
            text = re.sub(rf"^{name}: .*$", f"{name}: {value}", text, count=1, flags=re.MULTILINE)
        (copies / spec.name).write_text(text, "utf-8")
    return {"PROVIDERS_FILE": str(folder / "providers.yaml"), "ASSISTANTS_DIR": str(copies)}


async def _model(
    stack: AsyncExitStack, ready: Ready, latency_seconds: float, *, local: bool
) -> ScriptedModel | SmallModel | None:
    if local:
        return await _start(stack, ready, "llama.cpp", SmallModel)
    if not is_scripted():
        return None
    return await _start(stack, ready, "model server", partial(ScriptedModel, latency_seconds))


def _cockpit_port() -> AbstractContextManager[int]:
    return _port("cockpit", COCKPIT_PORT)


@contextmanager
def _port(name: str, preferred: int) -> Iterator[int]:
    """Choose a port that is bound seconds later, so demos that start together need a lock for the preferred one."""
    with (cache_directory() / f"{name}-port.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go of it when we die
        except BlockingIOError:
            yield free_port()
        else:
            yield free_port(preferred)


async def _start(stack: AsyncExitStack, ready: Ready, name: str, make: Callable[[], P]) -> P:
    # Made here, because making a process makes its directory, which only `running` removes.
    began = time.monotonic()
    process = await stack.enter_async_context(running(make()))
    where = f"port {process.port}" if process.port else f"process {process.pid}"
    ready(name, time.monotonic() - began, where)
    return process


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
