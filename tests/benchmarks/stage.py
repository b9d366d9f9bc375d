"""The real parts of a bench: Operaton on PostgreSQL, Valkey, the model server, and the work that lies there."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import uuid4

from tests.benchmarks import machine
from tests.benchmarks.provider import Provider, reach
from tests.benchmarks.subjects import ROOT, Place
from tests.models import Model, ServiceTask, bpmn
from tests.rest import EngineRest, connect
from tests.servers.postgresql import PostgreSQL
from worker.demo.engine import Engine
from worker.demo.processes import HOST, Process, free_port, http_ok, running
from worker.demo.servers import CLEAN_ENVIRONMENT, Valkey

TOPIC = "bench-assistants"
TURNS = 4
"""Tasks of an instance, one after the other: a thread has so many turns."""
TABLES = (
    "act_ru_execution",  # everything that runs hangs on it
    *(f"act_hi_{name}" for name in ("procinst", "actinst", "varinst", "detail", "ext_task_log", "incident")),
)
STARTERS = 8
DATABASE = "engine"
JAVA_OPTIONS = ("-Xmx1g", "-XX:+UseSerialGC", "-XX:-UsePerfData")
"""With the full JIT, as in production: 40 % more than the first stage of it, but only after thousands of tasks."""
KNOWN_BY = "variable:subject"
"""Whom tasks are about that recall."""
SUBJECT = "A county has to choose drones for disaster response, within two million dollars. " * 5


@dataclass(slots=True)
class Stage:
    """All parts, running."""

    engine: Engine
    rest: EngineRest
    postgresql: PostgreSQL
    valkey: Valkey
    model_server: Process
    provider: Provider
    _databases: Iterator[int] = field(default_factory=count)

    @property
    def model_url(self) -> str:
        """What a worker calls."""
        return f"http://{HOST}:{self.model_server.port}/v1"

    def place(self, **settings: str) -> Place:
        """Give the next subject an empty Redis database."""
        return Place(self.engine.base_url, self.valkey.url(next(self._databases)), TOPIC, self.model_url, settings)

    def cpu_seconds(self) -> float:
        """What engine, database and Valkey have spent so far."""
        return sum(machine.cpu_seconds(each.pid) for each in (self.engine, self.postgresql, self.valkey))

    async def purge(self) -> None:
        """Remove every instance and its history. The engine keeps nothing of them in memory."""
        await asyncio.to_thread(self.postgresql.sql, f"TRUNCATE {', '.join(TABLES)} CASCADE", DATABASE)

    async def load(self, model: Model, instances: int) -> None:
        """Purge, start so many instances, and let PostgreSQL look at them: so every run is planned alike."""
        await self.purge()
        await start(self.rest, model, instances)
        await asyncio.to_thread(self.postgresql.sql, "ANALYZE", DATABASE)

    async def template(self, *models: Model) -> list[str]:
        """Start an instance of each model, before any worker, and suspend it: to be copied, not worked on."""
        instances = [await self.rest.start(model, {"subject": SUBJECT}) for model in models]
        which = _of(instances)
        suspend = [f"UPDATE {table} SET suspension_state_ = 2 {which}" for table in SUSPENDABLE]  # noqa: S608 - ours
        await asyncio.to_thread(self.postgresql.sql, ";".join(suspend), DATABASE)
        return instances

    async def copy(self, templates: Sequence[str], times: int) -> None:
        """Copy each template so often, row by row: 100 000 by REST would take a quarter of an hour.

        No poll is woken by it.
        """
        statements = await asyncio.to_thread(_copies, self.postgresql, templates, times)
        await asyncio.to_thread(self.postgresql.sql, ";".join(statements), DATABASE)


SUSPENDABLE = ("act_ru_execution", "act_ru_ext_task")
COPIED = (
    *("act_ru_execution", "act_ru_variable", "act_ru_ext_task"),
    *(f"act_hi_{name}" for name in ("procinst", "actinst", "varinst", "detail", "ext_task_log")),
)


def _of(instances: Sequence[str]) -> str:
    return "WHERE proc_inst_id_ IN ({})".format(", ".join(f"'{each}'" for each in instances))


def _copies(postgresql: PostgreSQL, templates: Sequence[str], times: int) -> list[str]:
    """Write the statements that copy instances' rows; each id of theirs gets the number of the copy behind it."""
    which, batch = _of(templates), uuid4().hex[:4]
    ids = " UNION ".join(f"SELECT id_ FROM {table} {which}" for table in COPIED)  # noqa: S608 - names of ours
    statements = [f"CREATE TEMPORARY TABLE known AS {ids}"]
    renamed = f"CASE WHEN {{0}} IN (SELECT id_ FROM known) THEN {{0}} || '-{batch}' || copy ELSE {{0}} END"  # noqa: S608 - ours
    for table in COPIED:
        asked = f"SELECT column_name, data_type FROM information_schema.columns WHERE table_name = '{table}'"  # noqa: S608 - COPIED has constants
        columns = dict(line.split("|") for line in postgresql.sql(asked, DATABASE).splitlines())
        copied = {name: renamed.format(name) if "char" in kind else name for name, kind in columns.items()}
        if table in SUSPENDABLE:
            copied["suspension_state_"] = "1"
        source = f"{table}, generate_series(1, {times}) AS copy {which}"
        values = ", ".join(copied.values())
        statements.append(f"INSERT INTO {table} ({', '.join(copied)}) SELECT {values} FROM {source}")  # noqa: S608 - as above
    return [*statements, "ANALYZE"]


def model(turns: int, topic: str, **properties: str) -> Model:
    """So many assistant tasks in a row, with other `properties` beside their own, by names with `_` for the full stop.

    Without asyncAfter, unlike what people should model: with it each completion is followed by a job, and the engine's
    job executor would set the pace instead of the workers that are compared.
    """
    steps = [step(number, topic, **properties) for number in range(1, turns + 1)]
    return bpmn(*steps, key="_".join(("bench", str(turns), topic.replace("-", "_"), *properties)))


def step(number: int, topic: str, loop: str = "", **properties: str) -> ServiceTask:
    """One assistant task of a model."""
    return ServiceTask(
        f"step_{number}",
        topic,
        name=f"Step {number}",
        documentation="Say what speaks for and against each alternative. " * 4,
        properties={
            "service.type": "assistant",
            "service.name": "analyst",
            "data.input": "subject",
            "data.output": f"answer_{number}",
            **{name.replace("_", "."): value for name, value in properties.items()},
        },
        async_after=False,
        loop=loop,
    )


async def start(rest: EngineRest, model: Model, instances: int) -> None:
    """Start so many instances, a few at a time."""
    numbers = iter(range(instances))

    async def starter() -> None:
        for _ in numbers:
            await rest.start(model, {"subject": SUBJECT})

    async with asyncio.TaskGroup() as group:
        for _ in range(STARTERS):
            group.create_task(starter(), name="starter")


@asynccontextmanager
async def open_stage() -> AsyncIterator[Stage]:
    """Start everything, with the models deployed."""
    async with AsyncExitStack() as stack:
        postgresql = await stack.enter_async_context(running(PostgreSQL()))
        database = await asyncio.to_thread(postgresql.create, DATABASE)
        engine = await stack.enter_async_context(running(Engine(database=database, java_options=JAVA_OPTIONS)))
        valkey = await stack.enter_async_context(running(Valkey()))
        model_server = await stack.enter_async_context(running(_model_server()))
        provider = await stack.enter_async_context(reach(f"http://{HOST}:{model_server.port}/control"))
        rest = await stack.enter_async_context(connect(engine))
        yield Stage(engine, rest, postgresql, valkey, model_server, provider)


def _model_server() -> Process:
    port = free_port()
    return Process(
        "model-server",
        [sys.executable, "-m", "worker.demo.model", "--port", str(port)],
        ready=lambda: http_ok(port, "/control/counts"),
        port=port,
        env={**CLEAN_ENVIRONMENT, "PYTHONPATH": str(ROOT)},
    )


async def versions(stage: Stage) -> dict[str, Any]:
    """Ask the servers who they are."""
    engine = await stage.rest.get("version")
    postgresql = await asyncio.to_thread(stage.postgresql.sql, "SHOW server_version")
    return {"engine": f"{stage.engine.kind} {engine['version']}", "postgresql": postgresql}
