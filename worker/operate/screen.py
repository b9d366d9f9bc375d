"""What the doctor and the commands print on."""

import sys

from rich.console import Console
from rich.text import Text

PIPED_COLUMNS = 160
"""A pipe has no width; its reader has a pager or an editor."""


def console() -> Console:
    """Open the standard output."""
    return Console(width=None if sys.stdout.isatty() else PIPED_COLUMNS, highlight=False)


def plain(text: str) -> Text:
    """Show texts of others as they are: neither markup nor control characters of theirs do anything."""
    return Text("".join(char if char.isprintable() else "\ufffd" for char in text))


def line(text: str) -> Text:
    """The same on one line."""
    return plain(" ".join(text.split()))
