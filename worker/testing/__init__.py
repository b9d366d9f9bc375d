"""A pytest plugin: processes with assistants on a real engine, scripted or recorded. See docs/testing.md.

`pytest_plugins = ["worker.testing"]` in the `conftest.py` at the top of your tests brings its fixtures. It needs the
extra `demo`, and pytest.
"""

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from worker.demo.engine import Engine
from worker.testing.bench import Bench, Instance, Question
from worker.testing.cassette import Cassette, Reader
from worker.testing.judge import Judge
from worker.testing.parts import PROVIDERS_FILE, Parts
from worker.testing.playing import MODES, OPTION, Player, Way
from worker.testing.written import names, upstreams

__all__ = [
    "Bench",
    "Instance",
    "Judge",
    "Question",
    "assistant_bench",
    "assistant_cassette",
    "assistant_cassette_path",
    "assistant_cassette_varying",
    "assistant_judge",
    "assistant_parts",
    "assistant_settings",
    "assistants_dir",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the record mode to pytest's options, `assistants_dir` and `assistant_engine` to its settings."""
    parser.getgroup("assistants").addoption(
        OPTION,
        choices=MODES,
        default="none",
        help="Whether tests with a cassette ask the real providers: none, which is the default; once, where a test has "
        "no cassette yet; new_episodes, for what is not on it; all.",
    )
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
def assistant_cassette_varying() -> Sequence[str]:
    """Regular expressions for what else in a question changes from run to run; override it where something does."""
    return ()


@pytest.fixture(scope="session")
def assistant_parts(
    pytestconfig: pytest.Config, assistants_dir: Path, assistant_settings: Mapping[str, str]
) -> Iterator[Parts]:
    """Engine, Valkey, model server and a worker; started when a test first wants them, and gone at the end."""
    kind = str(pytestconfig.getini("assistant_engine"))
    if kind not in {"operaton", "camunda"}:
        raise pytest.UsageError(f"assistant_engine is {kind!r}; allowed are operaton, camunda")
    settings, records = _placed(assistant_settings, pytestconfig), pytestconfig.getoption(OPTION) != "none"
    with (
        tempfile.TemporaryDirectory(prefix="assistant-worker-tests-") as scratch,
        Engine("camunda" if kind == "camunda" else "operaton") as engine,
        Parts.started(engine, assistants_dir, settings, Path(scratch), records=records) as parts,
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


@pytest.fixture
def assistant_cassette_path(request: pytest.FixtureRequest) -> Path:
    """The test's cassette: `cassettes/<module>/<test>.yaml` beside it. Override it to have them elsewhere."""
    folder = request.path.parent / "cassettes" / request.path.stem
    whose = f"{request.cls.__name__}." if request.cls is not None else ""
    return folder / re.sub(r"[^\w.\[\]-]", "-", f"{whose}{request.node.name}.yaml")


@pytest.fixture
def assistant_cassette(
    pytestconfig: pytest.Config,
    assistants_dir: Path,
    assistant_settings: Mapping[str, str],
    assistant_cassette_path: Path,
    assistant_cassette_varying: Sequence[str],
    assistant_parts: Parts,
    assistant_bench: Bench,  # noqa: ARG001 - what it has deployed goes when the cassette has been played
) -> Iterator[Path]:
    """Has the questions of this test answered from its cassette, where nothing is scripted. Returns its path."""
    settings = _placed(assistant_settings, pytestconfig)
    file = Path(settings[PROVIDERS_FILE]) if settings.get(PROVIDERS_FILE) else None
    way = Way(pytestconfig.getoption(OPTION), lambda: upstreams(file, settings), settings)
    reader = Reader(names(assistants_dir), [re.compile(each) for each in assistant_cassette_varying])
    cassette = Cassette(assistant_cassette_path) if way.mode == "all" else Cassette.load(assistant_cassette_path)
    player = Player(cassette, reader, way)
    assistant_parts.model.answerer = player
    try:
        yield assistant_cassette_path
    finally:
        assistant_parts.model.answerer = None
        assistant_parts.loop.run(player.close())
    if flaws := player.told():
        pytest.fail("\n\n".join(flaws), pytrace=False)


@pytest.fixture
def assistant_judge(assistant_parts: Parts, assistant_cassette: Path) -> Iterator[Judge]:  # noqa: ARG001 - it answers the judge
    """Judges answers by a question and a threshold: `assistant_judge(question, answer, at_least=0.7)`."""
    judge = Judge(assistant_parts)
    try:
        yield judge
    finally:
        judge.close()


def _placed(settings: Mapping[str, str], config: pytest.Config) -> dict[str, str]:
    """Find the file of providers from the root of the tests, wherever the worker runs."""
    named = settings.get(PROVIDERS_FILE)
    return {**settings, **({PROVIDERS_FILE: str(config.rootpath / named)} if named else {})}
