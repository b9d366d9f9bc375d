"""Python environments of their own, for programs whose packages must not meet ours."""

import shutil
import subprocess
import sys
from pathlib import Path


def environment(home: Path, pins: Path, python: str = sys.executable) -> None:
    """Have `venv` in this folder with what is pinned, made anew where the pins have changed; by a python.

    Raises OSError, subprocess.CalledProcessError.
    """
    stamp, wanted = home / "pins", pins.read_text("ascii")
    if stamp.is_file() and stamp.read_text("ascii") == wanted:
        return
    shutil.rmtree(home / "venv", ignore_errors=True)
    subprocess.run([python, "-m", "venv", home / "venv"], check=True)
    inside = str(home / "venv" / "bin" / "python")
    subprocess.run([inside, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", pins], check=True)
    stamp.write_text(wanted, "ascii")
