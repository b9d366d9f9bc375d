"""Tests of process applications as a modeller has them, scripted or on a cassette: no model is asked."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from defusedxml import ElementTree

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "applications"


@pytest.mark.timeout(600)
def test_the_applications_pass_their_tests(tmp_path: Path) -> None:
    rest = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    report = tmp_path / "report.xml"
    # The time of a test is its own, without that of the engine, which starts in the first one's setup.
    said = [f"--junitxml={report}", "-o", "junit_duration_report=call"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--confcutdir=.", *said],
        cwd=FOLDER,
        env={**rest, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=590,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = ElementTree.parse(report).findall(".//testcase")
    for each in found:
        # For people, and docs/testing.md: how long a test takes is not asserted.
        print(f"{each.get('classname')}.{each.get('name')}: {float(each.get('time', 0)):.1f} s")  # noqa: T201 - as above
    assert f"\n{len(found)} passed" in done.stdout, "none is skipped, and none is expected to fail"
    assert {each.get("classname") for each in found} == {file.stem for file in FOLDER.glob("test_*.py")}
    applications = {file.parent.name for file in (ROOT / "bpmn").glob("*/*.bpmn")}
    assert {file.stem for file in FOLDER.glob("test_*.py")} == {f"test_{each}" for each in applications}
