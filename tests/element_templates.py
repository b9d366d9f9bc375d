"""The validator of element templates that Camunda Modeler has. `python -m tests.element_templates` gets it ready.

Two packages of npm with fixed checksums, in the user's cache; it needs no third.
"""

import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from worker.demo import npm
from worker.demo.jars import cache_directory
from worker.demo.npm import Package, PackageError

PACKAGES: Final = {
    "@bpmn-io/element-templates-validator": Package(
        "@bpmn-io/element-templates-validator@2.26.0",
        "sha512-ZHcEJtYX5GmaNHKXZqzJE96beN4d8xbCIsm+ynTLUZEg5Q4l8lpUOZmnwKF5npsdEg9L4hRuHMrgytU21zcXlQ==",
    ),
    "min-dash": Package(
        "min-dash@5.1.0",
        "sha512-HAvN6XzmCQj+js43G9sJRRw8kj/7DvoxN7qhoIN9Xo5ZN1NMljtpyKs/NunXmw0QSWwlgZzNv6tLeEa4xaZ0tg==",
    ),
}
PROGRAM: Final = """
import { validateAll } from '@bpmn-io/element-templates-validator';
import { readFileSync } from 'node:fs';
const { results } = validateAll(JSON.parse(readFileSync(0, 'utf8')));
const said = results.map(({ valid, errors }) => ({ valid, errors: (errors || []).map(each => each.message) }));
console.log(JSON.stringify(said));
"""


def ready() -> Path:
    """Return a folder with both packages as Node.js looks for them, fetched if need be. PackageError without them."""
    folder = (
        cache_directory()
        / "element-templates"
        / "-".join(package.name.rpartition("@")[2] for package in PACKAGES.values())
    )
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = Path(scratch) / "made"
            for number, (name, package) in enumerate(PACKAGES.items()):
                place = Path(scratch) / str(number)
                place.mkdir()
                archive = npm.pack(package, place)
                npm.verify(package, archive)
                _unpack(archive, made / "node_modules" / name)
            (made / "check.mjs").write_text(PROGRAM)
            made.rename(folder)
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    # By hand: early versions of Python 3.11 have no filter for extractall.
    with tarfile.open(archive) as content:
        for member in content.getmembers():
            source = content.extractfile(member)
            if source is not None:
                target = folder / Path(member.name).relative_to("package")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read())


def flaws(templates: Sequence[dict[str, Any]]) -> list[list[str]]:
    """What Modeler says against each template; nothing of those that it takes."""
    node = npm.node()
    if node is None:
        raise PackageError("there is no Node.js")
    done = subprocess.run(
        [node, "check.mjs"], cwd=ready(), input=json.dumps(templates), capture_output=True, text=True, check=True
    )
    said = json.loads(done.stdout)
    return [[] if each["valid"] else each["errors"] or ["invalid"] for each in said]


def main() -> int:
    """Get it ready, or say why that is not possible; the test that needs it then fails."""
    try:
        ready()
    except PackageError as exc:
        print(f"element templates: {exc}", file=sys.stderr)  # noqa: T201 - a command
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
