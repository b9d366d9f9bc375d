"""Plain tables for people and JSON for programs. Texts of others do nothing but stand there."""

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from rich import box
from rich.table import Table
from rich.text import Text

from worker.operate.screen import console, line, plain

_ANYTHING = TypeAdapter(Any)


def show(heads: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """Print a table with nothing cut off, or say that there is nothing to print."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*map(cell, row))
    console().print(table if table.row_count else Text(empty))


def say(text: str) -> None:
    """Print a text of several lines as it is."""
    # Line by line: a newline is no printable character either, and would be shown as a replacement.
    for each in text.split("\n"):
        console().print(plain(each), soft_wrap=True)


def write(text: str, *, raw: bool) -> None:
    """Print a part of a text: as it is to programs, and without what could do something to people."""
    if raw:
        sys.stdout.write(text)
    else:
        say(text.removesuffix("\n"))


def as_json(value: object) -> None:
    """Print data of ours."""
    sys.stdout.write(_ANYTHING.dump_json(value, indent=2).decode() + "\n")


def complain(text: str) -> None:
    """Print to the standard error."""
    sys.stderr.write(f"{plain(text).plain}\n")


def cell(value: object) -> Text:
    """Write a value into a table; times are UTC, to the second."""
    if isinstance(value, datetime):
        return Text(f"{value:%Y-%m-%d %H:%M:%SZ}")
    return Text("-") if value in (None, "") else line(str(value))
