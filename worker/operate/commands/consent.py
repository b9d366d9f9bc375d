"""Whether somebody means what cannot be undone."""

import sys
from argparse import Namespace

from worker.errors import Permanent
from worker.operate.screen import line


def ask(options: Namespace, what: str) -> None:
    """Return if it is to be done: by --yes, or by a person at a terminal, who is asked. Raises Permanent."""
    if options.yes:
        return
    said = f"{line(what).plain} This cannot be undone."
    if not sys.stdin.isatty():
        raise Permanent(f"{said} Nobody can be asked here: add --yes if it is meant.")
    # Not to the standard output, which may lead to a file for the receipt.
    sys.stderr.write(f"{said} Go on? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise Permanent("Nothing was done.")
