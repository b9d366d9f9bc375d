"""Installs LiteLLM into a folder that git ignores, and the small model: `python -m tests.small_model.install`."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from worker.demo import samples, small_model
from worker.demo.rest import Failed

HOME: Final = samples.ROOT / ".models"
PINS: Final = samples.ROOT / "docker" / "requirements" / "litellm.txt"


def main() -> int:
    """Install what is not there; 1, and a line on what is wrong, if something cannot be had."""
    try:
        small_model.install()
        _install_litellm()
    except (Failed, OSError, subprocess.CalledProcessError) as exc:
        print(f"not installed: {exc}", file=sys.stderr)  # noqa: T201 - a command
        return 1
    return 0


def litellm() -> Path:
    """Where its program is."""
    return HOME / "venv" / "bin" / "litellm"


def _install_litellm() -> None:
    stamp, wanted = HOME / "pins", PINS.read_text("ascii")
    if stamp.is_file() and stamp.read_text("ascii") == wanted:
        return
    shutil.rmtree(HOME / "venv", ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", HOME / "venv"], check=True)
    inside = str(HOME / "venv" / "bin" / "python")
    subprocess.run([inside, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", PINS], check=True)
    stamp.write_text(wanted, "ascii")


if __name__ == "__main__":
    sys.exit(main())
