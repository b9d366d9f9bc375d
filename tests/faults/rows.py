"""The table of faults, as people and tests read it."""

from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True, slots=True)
class Row:
    """One fault. Tests are named as pytest does, without parameters unless a single one of them is meant.

    soak: parts of `python -m tests.faults.soak`, which no run of the tests includes.
    """

    fault: str
    promise: str
    tests: tuple[str, ...] = ()
    soak: tuple[str, ...] = ()
    missing: str = ""


def read() -> dict[str, Row]:
    """The rows by their ids."""
    table = yaml.safe_load(Path(__file__).with_name("rows.yaml").read_text("utf-8"))
    lists = ("tests", "soak")
    return {name: Row(**row | {each: tuple(row.get(each, ())) for each in lists}) for name, row in table.items()}


ROWS = read()
