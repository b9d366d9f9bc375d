"""Installs Zep's own SDKs of both major versions into a folder that git ignores: `python -m tests.zep.install`."""

import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.environments import environment
from worker.zep import Dialect

ROOT: Final = Path(__file__).parents[2]
HOME: Final = ROOT / ".zep"
DIALECTS: Final[tuple[Dialect, ...]] = ("v2", "v4")


def main() -> int:
    """Install what is not there; 1, and a line on what to do, if something cannot be had."""
    try:
        for dialect in DIALECTS:
            environment(HOME / dialect, ROOT / "docker" / "requirements" / f"zep-{dialect}.txt")
    except (OSError, subprocess.CalledProcessError) as exc:
        print(f"not installed: {exc}", file=sys.stderr)  # noqa: T201 - a command
        return 1
    return 0


def python(dialect: Dialect) -> Path:
    """The Python that has the SDK which speaks this dialect."""
    found = HOME / dialect / "venv" / "bin" / "python"
    assert found.is_file(), "not installed: run `make zep`"
    return found


if __name__ == "__main__":
    sys.exit(main())
