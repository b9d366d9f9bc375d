"""The wheel where there is no checkout: installed into its own environment, and its demo run in an empty folder."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.test_demo import left_behind
from tests.flow.conftest import rig
from tests.flow.rig import Rig
from tests.flow.test_starting import check_works_as_it_is
from worker.demo import jars
from worker.demo.samples import ROOT

ALONE: Final = ["unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
"""Runs a command with no network but 127.0.0.1."""

__all__ = ["rig"]

pytestmark = pytest.mark.timeout(900)  # it builds, installs everything and runs the demo


def run(command: Sequence[object], **options: Any) -> str:
    """What it prints; AssertionError with that when it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
        **options,
    )
    assert done.returncode == 0, done.stdout
    return str(done.stdout)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the programs of an environment that has the wheel with its extra, as pinned, and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [folder / "environment" / "bin" / "python", "-I", "-m", "pip"]
    wheels, pins = folder / "wheels", ROOT / "docker" / "requirements" / "demo.txt"
    run([sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, ROOT])
    [wheel] = wheels.iterdir()
    run([sys.executable, "-m", "venv", folder / "environment"])
    run([*pip, "install", "--require-hashes", "-r", pins])
    # Without an index it fails where the pins lack something that the wheel says it needs.
    run([*pip, "install", "--no-index", f"{wheel}[demo]"])
    run([*pip, "check"])
    return folder / "environment" / "bin"


def test_the_demo_runs_in_an_empty_folder_without_a_network_and_leaves_only_what_it_says(
    installed: Path, tmp_path: Path
) -> None:
    empty, home, scratch, cache = (tmp_path / name for name in ("empty", "home", "scratch", "cache"))
    for folder in (empty, home, scratch, cache):
        folder.mkdir()
    jars.fetch(jars.locked("operaton"))
    (cache / "jars").symlink_to(jars.cache_directory() / "jars")
    environment = {
        "PATH": os.defpath,
        "HOME": str(home),
        "TMPDIR": str(scratch),
        "ASSISTANT_WORKER_CACHE": str(cache),
        "PYTHONIOENCODING": "utf-8",
    }

    shown = run([*ALONE, installed / "assistant-worker", "demo", "--once"], cwd=empty, env=environment)

    assert "\n4 turns · 1 thread created · 3 reused\n" in shown
    assert f"What is fetched stays in {cache}; nothing else stays." in shown
    assert [list(folder.rglob("*")) for folder in (empty, home)] == [[], []]
    assert left_behind(scratch) == []
    assert {path.name for path in cache.iterdir()} == {"jars", "cockpit-port.lock", "page-port.lock"}


async def test_the_folder_to_start_with_comes_out_of_it_and_works_as_it_is(
    installed: Path, rig: Rig, tmp_path: Path
) -> None:
    worker = installed / "assistant-worker"
    environment = {"PATH": os.defpath, "HOME": str(tmp_path), "PYTHONIOENCODING": "utf-8"}
    run([worker, "init", "mine"], cwd=tmp_path, env=environment)

    folder = tmp_path / "mine"
    models = sorted(folder.rglob("*.bpmn"))
    assert models
    assert list((folder / "assistants").iterdir())
    assert "1 model: nothing found." in run([worker, "lint", *models], cwd=folder, env=environment)
    await check_works_as_it_is(rig, folder, [str(worker), "run"], environment)
