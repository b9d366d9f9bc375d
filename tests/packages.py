"""Packages of npm with all that they depend on, locked, and what is made of them, once, in the user's cache."""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from worker.demo import npm
from worker.demo.jars import cache_directory

SECONDS: Final = 300


def kept(place: str, sources: Sequence[Path], make: Callable[[Path], None]) -> Path:
    """Return the cache's folder of what `make` makes from these files: made once, and only if that succeeds."""
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    folder = cache_directory() / place / digest[:16]
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".make-", dir=folder.parent) as scratch:
            ready = Path(scratch) / "ready"
            ready.mkdir()
            make(ready)
            ready.rename(folder)
    return folder


def install(sources: Sequence[Path], folder: Path) -> None:
    """Install what package.json and package-lock.json among these files say. PackageError: npm cannot."""
    for source in sources:
        shutil.copy(source, folder)
    # A cache of its own: the one in the home may not be writable.
    run([*npm._npm(), "ci", "--ignore-scripts", "--no-audit", "--cache", str(folder / "npm")], folder)
    shutil.rmtree(folder / "npm", ignore_errors=True)


def run(command: Sequence[str | Path], folder: Path) -> None:
    """Run what makes something there. PackageError: it fails."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise npm.PackageError(str(exc)) from exc
    if done.returncode:
        raise npm.PackageError(done.stderr.strip()[-500:])
