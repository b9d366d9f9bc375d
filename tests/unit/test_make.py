"""What `make` and CI do when something is missing, or breaks off."""

import os
import subprocess
from pathlib import Path

import pytest

from worker.demo.samples import ROOT


def make(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *words], cwd=ROOT, capture_output=True, text=True, check=False)


def test_an_environment_that_could_not_be_made_is_not_taken_for_one_the_next_time(tmp_path: Path) -> None:
    # As Debian's Python without the package python3-venv: the folder with a python in it is there, and no pip.
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/sh\n[ "$1" = -c ] && exit 0\nmkdir -p "$3/bin" && touch "$3/bin/python"\n'
        'echo "install python3-venv"; exit 1\n'
    )
    python.chmod(0o755)
    environment = tmp_path / "environment"

    done = make(f"{environment}/bin/python", f"PYTHON={python}", f"VENV={environment}")

    assert done.returncode
    assert "install python3-venv" in done.stdout
    assert not environment.exists()


@pytest.mark.parametrize(
    ("codes", "runs", "code"),
    [
        ([0], 1, 0),
        ([1, 0], 2, 0),  # failed beside others, passed alone
        ([1, 1], 2, 1),
        ([3], 1, 3),  # broke off: what failed until then may pass alone, but the others were never run
    ],
)
def test_ci_repeats_failed_tests_only_after_a_run_that_came_to_its_end(
    tmp_path: Path, codes: list[int], runs: int, code: int
) -> None:
    # A pytest that ends with one code after the other, and writes down that it was run.
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$*" >>runs\nexit "$(sed -n "$(wc -l <runs)p" codes)"\n')
    python.chmod(0o755)
    (tmp_path / "codes").write_text("".join(f"{each}\n" for each in codes))

    done = subprocess.run(
        [ROOT / ".ci" / "steadily", "tests"], cwd=tmp_path, env={"PATH": os.defpath}, capture_output=True, check=False
    )

    assert len((tmp_path / "runs").read_text().splitlines()) == runs
    assert done.returncode == code


def test_ci_runs_what_a_person_runs() -> None:
    steps = (ROOT / ".ci" / "run").read_text().splitlines()

    assert "make test PYTEST=.ci/steadily" in steps
    assert ".ci/steadily -n 3" in make("-n", "test-parts", "PYTEST=.ci/steadily").stdout
