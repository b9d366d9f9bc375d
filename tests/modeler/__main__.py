"""Get the modeler ready, or say why that is not possible; the tests that need it then fail."""

import sys

from tests.modeler import page
from worker.demo.npm import PackageError

try:
    page()
except PackageError as exc:
    print(f"modeler: {exc}", file=sys.stderr)  # noqa: T201 - a command
    sys.exit(1)
