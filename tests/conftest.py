"""Real parts for all tests, each started once per run when a test first wants it; unique names keep tests apart."""

import asyncio
import gc
import logging
import os
from collections.abc import AsyncIterator, Iterator
from functools import cache
from itertools import count
from pathlib import Path

import httpx2
import pytest
import structlog
from hypothesis import settings

from tests.engines import Elsewhere
from tests.nursery import Nursery, shared
from tests.rest import MOST, EngineRest, connect
from tests.tables import Remembered, Statement
from tests.teardown import pytest_runtest_teardown  # noqa: F401 - a hook, which pytest looks for here
from tests.zep.stand_in import ZepStandIn, standing_in
from worker.demo.engine import JAVA_OPTIONS, Engine, Kind
from worker.demo.servers import Valkey
from worker.transcript import SqlTranscriptWriter, migrating, open_database

collect_ignore = [
    name
    for name, wanted in {
        "deploy": "WITH_DEPLOY",
        "image": "WITH_IMAGE",
        "keeping": "WITH_KEEPING",
        "monitoring": "WITH_PROMETHEUS",
        "ogx": "WITH_OGX",
        "oracles": "WITH_ORACLES",
        "setups": "WITH_SETUPS",
        "shells": "WITH_SHELLS",
        "small_model": "WITH_MODELS",
        "wheel": "WITH_WHEEL",
        "zep": "WITH_ZEP",
    }.items()
    if wanted not in os.environ
]
"""`make deploy-check`, `image`, `ogx`, `models`, `oracles`, `wheel` and `zep` make or install what these tests need,
and run them; `make monitoring` and `completions` say what is missing; `make engines` and `make keeping` take their
time."""
collect_ignore.append("applications")  # tests/e2e/test_applications.py has a pytest of their own run them

_database_numbers = count()
settings.register_profile("patient", deadline=None)  # no test asserts how fast something is
settings.load_profile("patient")


def pytest_collection_finish() -> None:
    """Have the collector of garbage leave alone what lives to the end: a sixth of what tests take went into that."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(scope="session")
def empty_record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record that nobody has written to; it is copied, as to make its tables takes longer than most tests."""
    path = tmp_path_factory.mktemp("record") / "empty.db"

    async def make() -> None:
        async with open_database(f"sqlite:///{path}") as database:
            await SqlTranscriptWriter(database).ping()

    with asyncio.Runner() as runner:
        runner.run(make())
    return path


@pytest.fixture(scope="session", autouse=True)
def authorities_read_once() -> Iterator[None]:
    """Every model port reads the trusted authorities when it opens: a worker does it once, tests hundreds of times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx2, "create_ssl_context", cache(httpx2.create_ssl_context))
        yield


@pytest.fixture(scope="session", autouse=True)
def tables_worked_out_once() -> Iterator[None]:
    """Thousands of tests begin with an empty record."""
    steps, made = migrating.steps, dict[str, list[Statement]]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrating, "steps", lambda: Remembered(steps(), made))
        yield


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Logging is global: what a test configures is taken back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("worker").setLevel(logging.NOTSET)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine | Elsewhere]:
    """A real Operaton, Camunda 7 where TEST_ENGINE says so, or whatever runs at TEST_ENGINE_URL.

    A test that stops an engine starts one of its own.
    """
    kind: Kind = "camunda" if os.environ.get("TEST_ENGINE") == "camunda" else "operaton"
    if url := os.environ.get("TEST_ENGINE_URL"):
        yield Elsewhere(url.rstrip("/"), kind)
        return
    with Engine(kind) as engine:
        yield engine


@pytest.fixture(scope="session")
def strict_engine(engine: Engine | Elsewhere) -> Iterator[Engine]:
    """One that asks who may do what and gives no list without a limit. Who logs in as its administrator may do all."""
    properties = f"{engine.kind}.bpm.generic-properties.properties"
    options = (
        f"-D{engine.kind}.bpm.authorization.enabled=true",
        f"-D{properties}.query-max-results-limit={MOST}",
        f"-D{properties}.enforce-specific-variable-permission=true",
    )
    with Engine(engine.kind, authenticate=True, java_options=(*JAVA_OPTIONS, *options)) as strict:
        yield strict


@pytest.fixture(scope="session")
def bare_engine(engine: Engine | Elsewhere) -> Iterator[Engine]:
    """One without Spin that asks who may do what."""
    options = (*JAVA_OPTIONS, f"-D{engine.kind}.bpm.authorization.enabled=true")
    with Engine(engine.kind, spin=False, authenticate=True, java_options=options) as bare:
        yield bare


@pytest.fixture(scope="session")
def nursery() -> Nursery:
    """Where workers come from that start in a moment."""
    return shared()


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    """A real Valkey server. A test that stops or reconfigures a server starts one of its own."""
    with Valkey() as valkey:
        yield valkey


@pytest.fixture
async def zep() -> AsyncIterator[ZepStandIn]:
    """A stand-in for Zep Cloud that knows nothing."""
    async with standing_in() as zep:
        yield zep


@pytest.fixture
def redis_url(valkey: Valkey) -> str:
    """A database that no other test has seen."""
    return valkey.url(next(_database_numbers))


@pytest.fixture
async def engine_rest(engine: Engine) -> AsyncIterator[EngineRest]:
    """Client of the shared engine; deletes what it deployed when the test is over."""
    async with connect(engine) as rest:
        yield rest
