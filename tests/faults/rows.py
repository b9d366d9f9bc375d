"""The table of faults, as people and tests read it."""

from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True, slots=True)
class Row:
    """One fault. Tests are named as pytest does, without parameters unless a single one of them is meant."""

    fault: str
    promise: str
    tests: tuple[str, ...] = ()
    missing: str = ""


def read() -> dict[str, Row]:
    """The rows by their ids."""
    table = yaml.safe_load(Path(__file__).with_name("rows.yaml").read_text("utf-8"))
    return {name: Row(**row | {"tests": tuple(row.get("tests", ()))}) for name, row in table.items()}


ROWS = read()
