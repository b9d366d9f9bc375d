"""Real parts for all tests, each started once per run when a test first wants it; unique names keep tests apart."""

import os
from collections.abc import AsyncIterator, Iterator
from itertools import count

import pytest
from hypothesis import settings

from tests.faults.nursery import Nursery
from tests.rest import EngineRest, connect
from worker.demo.engine import Engine
from worker.demo.servers import Valkey

collect_ignore = [
    name
    for name, wanted in {
        "deploy": "WITH_DEPLOY",
        "image": "WITH_IMAGE",
        "keeping": "WITH_KEEPING",
        "monitoring": "WITH_PROMETHEUS",
        "ogx": "WITH_OGX",
        "small_model": "WITH_MODELS",
    }.items()
    if wanted not in os.environ
]
"""`make deploy-check`, `image`, `ogx` and `models` make or install what these tests need, and run them; `make
monitoring` says what is missing; `make keeping` takes its time."""

_database_numbers = count()
settings.register_profile("patient", deadline=None)  # no test asserts how fast something is
settings.load_profile("patient")


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A real Operaton, or Camunda 7 where TEST_ENGINE says so; a test that stops an engine starts one of its own."""
    with Engine("camunda" if os.environ.get("TEST_ENGINE") == "camunda" else "operaton") as engine:
        yield engine


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where workers come from that start in a moment."""
    with Nursery() as nursery:
        yield nursery


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    """A real Valkey server. A test that stops or reconfigures a server starts one of its own."""
    with Valkey() as valkey:
        yield valkey


@pytest.fixture
def redis_url(valkey: Valkey) -> str:
    """A database that no other test has seen."""
    return valkey.url(next(_database_numbers))


@pytest.fixture
async def engine_rest(engine: Engine) -> AsyncIterator[EngineRest]:
    """Client of the shared engine; deletes what it deployed when the test is over."""
    async with connect(engine) as rest:
        yield rest
