"""axe-core, which finds what people with assistive technology could not use. `python -m tests.axe` gets it ready.

npm's package with a fixed checksum; one file of it in the user's cache.
"""

import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Page

from worker.demo import npm
from worker.demo.jars import cache_directory
from worker.demo.npm import Package, PackageError

PACKAGE: Final = Package(
    "axe-core@4.14.1",
    "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
)
MEMBER: Final = "package/axe.min.js"
NOT_OURS: Final = [".canvas svg", ".bjs-powered-by"]
"""What bpmn-js draws."""


def source() -> str:
    """The program, fetched if need be. PackageError without it."""
    kept = cache_directory() / "axe" / f"{PACKAGE.name.rpartition('@')[2]}.js"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
            archive = npm.pack(PACKAGE, Path(scratch))
            npm.verify(PACKAGE, archive)
            with tarfile.open(archive) as package:
                program = package.extractfile(MEMBER)
                if program is None:
                    raise PackageError(f"{PACKAGE.name} has no file {MEMBER}")
                (Path(scratch) / "axe.js").write_bytes(program.read())
            (Path(scratch) / "axe.js").rename(kept)
    return kept.read_text("utf-8")


async def findings(page: Page, program: str) -> list[str]:
    """What it finds on a page: each rule with the elements that break it."""
    await page.evaluate(program)
    found: list[dict[str, Any]] = await page.evaluate(
        "(not_ours) => axe.run({ exclude: not_ours.map((each) => [each]) }).then((said) => said.violations)", NOT_OURS
    )
    return [f"{each['id']}: {each['help']}: {[node['html'] for node in each['nodes']]}" for each in found]


def main() -> int:
    """Get it ready, or say why that is not possible; the test that needs it then fails."""
    try:
        source()
    except PackageError as exc:
        print(f"{PACKAGE.name}: {exc}", file=sys.stderr)  # noqa: T201 - a command
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
