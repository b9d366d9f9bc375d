"""The page's code of others: bpmn-js, which draws diagrams, from npm's package with a fixed checksum.

`python -m worker.demo.page_assets` puts it beside the page, where git ignores it. Nothing else is fetched: its bundle
needs no other package.
"""

import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from worker.demo import npm
from worker.demo.npm import Package, PackageError

PACKAGE: Final = Package(
    "bpmn-js@18.31.1",
    "sha512-Hc7LzrgwfcBRUAdI/380Q2v1MJ115atGEVGadawLfDbHdo+r+IkmNj8fuYPFmWglUYt1KYIaC46OeX16HGTKQw==",
)
FILES: Final[Mapping[str, str]] = {
    "package/dist/bpmn-navigated-viewer.production.min.js": "viewer.js",
    "package/dist/assets/diagram-js.css": "diagram-js.css",
    "package/dist/assets/bpmn-js.css": "bpmn-js.css",
    "package/LICENSE": "LICENSE",
}
"""What is taken from the package, and how it is called beside the page. The licence has to go with the code."""

VENDOR: Final = Path(__file__).parents[1] / "web" / "page" / "vendor" / "bpmn-js"


def install(folder: Path = VENDOR, pack: Callable[[Path], Path] | None = None) -> bool:
    """Put the files into a folder; False if they are there already. All of them appear at once, or none."""
    stamp = folder / "integrity"
    if stamp.is_file() and stamp.read_text("ascii") == PACKAGE.integrity:
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".bpmn-js-", dir=folder.parent) as scratch:
        package = (pack or _from_npm)(Path(scratch))
        npm.verify(PACKAGE, package)
        ready = Path(scratch) / "ready"
        ready.mkdir()
        _unpack(package, ready)
        (ready / "integrity").write_text(PACKAGE.integrity, "ascii")
        shutil.rmtree(folder, ignore_errors=True)
        ready.rename(folder)
    return True


def _from_npm(directory: Path) -> Path:
    return npm.pack(PACKAGE, directory)


def _unpack(package: Path, folder: Path) -> None:
    with tarfile.open(package) as archive:
        for member, name in FILES.items():
            source = archive.extractfile(member)
            if source is None:
                raise PackageError(f"{PACKAGE.name} has no file {member}")
            (folder / name).write_bytes(source.read())


def main() -> int:
    """Install, and say what was done. 1 if it could not be: the page then works without diagrams."""
    try:
        new = install()
    except PackageError as exc:
        print(f"{PACKAGE.name}: {exc}. Until then the page shows no diagrams.", file=sys.stderr)  # noqa: T201 - a command
        return 1
    print(f"{PACKAGE.name}: {'installed' if new else 'is there'}")  # noqa: T201 - a command
    return 0


if __name__ == "__main__":
    sys.exit(main())
