"""What `make` does when it is broken off, or something is missing."""

import subprocess
from pathlib import Path

from worker.dev.stage import ROOT


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
