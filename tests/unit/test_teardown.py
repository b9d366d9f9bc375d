"""A fixture whose end is cancelled harms its own test, and no other."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = """
import asyncio, os, pytest

@pytest.fixture
async def ended(monkeypatch):
    monkeypatch.setenv("LEFT", "1")
    yield
    task = asyncio.create_task(asyncio.sleep(10))
    task.cancel()
    await task

async def test_one(ended):
    pass

def test_two(monkeypatch):
    assert "LEFT" not in os.environ
    monkeypatch.setenv("LEFT_TOO", "1")

def test_three():
    assert "LEFT_TOO" not in os.environ
"""


def test_what_other_fixtures_of_the_test_have_changed_is_taken_back(tmp_path: Path) -> None:
    (tmp_path / "test_them.py").write_text(TESTS)
    options = ["-q", "-p", "tests.teardown", "-p", "no:randomly", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto"]
    known = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"--rootdir={tmp_path}", str(tmp_path)],
        env=known,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "3 passed, 1 error" in run.stdout, run.stdout
    assert "the end of one of its fixtures was cancelled" in run.stdout
