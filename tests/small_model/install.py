"""Installs LiteLLM into a folder that git ignores, and the small model: `python -m tests.small_model.install`."""

import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.environments import environment
from worker.demo import samples, small_model
from worker.demo.rest import Failed

HOME: Final = samples.ROOT / ".models"
PINS: Final = samples.ROOT / "docker" / "requirements" / "litellm.txt"


def main() -> int:
    """Install what is not there; 1, and a line on what is wrong, if something cannot be had."""
    try:
        small_model.install()
        environment(HOME, PINS)
    except (Failed, OSError, subprocess.CalledProcessError) as exc:
        print(f"not installed: {exc}", file=sys.stderr)  # noqa: T201 - a command
        return 1
    return 0


def litellm() -> Path:
    """Where its program is."""
    return HOME / "venv" / "bin" / "litellm"


if __name__ == "__main__":
    sys.exit(main())
