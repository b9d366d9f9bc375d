"""A pytest plugin: processes with assistants on a real engine, the assistants scripted. See docs/testing.md.

`pytest_plugins = ["worker.testing"]` in the `conftest.py` at the top of your tests brings its fixtures. It needs the
extra `demo`, and pytest.
"""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from worker.demo.engine import Engine
from worker.testing.bench import Bench, Instance, Question
from worker.testing.parts import Parts

__all__ = [
    "Bench",
    "Instance",
    "Question",
    "assistant_bench",
    "assistant_parts",
    "assistant_settings",
    "assistants_dir",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `assistants_dir` and `assistant_engine` to pytest's settings."""
    parser.addini(
        "assistants_dir", "Folder with the assistants' specs, from the root of the tests.", default="assistants"
    )
    parser.addini("assistant_engine", "operaton or camunda.", default="operaton")


@pytest.fixture(scope="session")
def assistants_dir(pytestconfig: pytest.Config) -> Path:
    """The folder with the assistants' specs; override it, or set `assistants_dir` in pytest's settings."""
    return pytestconfig.rootpath / str(pytestconfig.getini("assistants_dir"))


@pytest.fixture(scope="session")
def assistant_settings() -> Mapping[str, str]:
    """Settings of the worker, by their names in capitals; override it to change some. Each is for all tests."""
    return {}


@pytest.fixture(scope="session")
def assistant_parts(
    pytestconfig: pytest.Config, assistants_dir: Path, assistant_settings: Mapping[str, str]
) -> Iterator[Parts]:
    """Engine, Valkey, model server and a worker; started when a test first wants them, and gone at the end."""
    kind = str(pytestconfig.getini("assistant_engine"))
    if kind not in {"operaton", "camunda"}:
        raise pytest.UsageError(f"assistant_engine is {kind!r}; allowed are operaton, camunda")
    with (
        tempfile.TemporaryDirectory(prefix="assistant-worker-tests-") as scratch,
        Engine("camunda" if kind == "camunda" else "operaton") as engine,
        Parts.started(engine, assistants_dir, assistant_settings, Path(scratch)) as parts,
    ):
        yield parts


@pytest.fixture
def assistant_bench(assistant_parts: Parts) -> Iterator[Bench]:
    """What a test works with: nothing is deployed, and nothing scripted. What it deploys is gone afterwards."""
    bench = Bench(assistant_parts)
    try:
        yield bench
    finally:
        bench.clear()
