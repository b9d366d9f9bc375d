"""Formulas of a record's sheets, evaluated as far as they use them: blank is not a number, and so is ""."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from worker.decisions.calculation import FIRST, Cell, Formula, Sheet

_CELLS = re.compile(r"(?:\b([A-Z][a-z]+)!)?\$?\b([A-Z])\$?(\d+)(?::\$?([A-Z])\$?(\d+))?")
_EQUALS = re.compile("(?<![<>])=")


def _given(cells: Any) -> Any:
    return [each for each in np.ravel(cells) if not math.isnan(each)]


_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "IF": lambda asked, yes, no: yes if asked else no,
    "AND": lambda *asked: all(asked),
    "ISNUMBER": lambda cell: not math.isnan(cell),
    "ABS": abs,
    "ROUND": round,
    "SUM": lambda cells: math.fsum(_given(cells)),
    "MIN": lambda cells: min(_given(cells)),
    "COUNT": lambda cells: len(_given(cells)),
    "AVERAGE": lambda cells: float(np.mean(_given(cells))),
    "SUMPRODUCT": lambda products: float(np.sum(products)),
    "RANK": lambda cell, cells: 1 + sum(each > cell for each in cells),
    "COUNTIF": lambda cells, cell: sum(each == cell for each in np.ravel(cells)),
}


class Book:
    """The sheets, computed from what is no formula alone."""

    def __init__(self, sheets: Sequence[Sheet]) -> None:
        self.sheets = {each.title: each for each in sheets}
        self.known = dict[tuple[str, str], float]()

    def column(self, title: str, head: str) -> list[float]:
        """All figures below a head, the last of that name."""
        sheet = self.sheets[title]
        column = max(place for place, each in enumerate(sheet.head) if each == head)
        return [self.figure(title, row[column]) for row in sheet.rows]

    def figure(self, title: str, cell: Cell) -> float:
        """What a cell of a sheet comes to."""
        if not isinstance(cell, Formula):
            return math.nan if cell is None or isinstance(cell, str) else float(cell)
        if (title, cell.text) not in self.known:
            self.known[title, cell.text] = self._computed(title, cell.text)
        return self.known[title, cell.text]

    def _computed(self, title: str, formula: str) -> float:
        def look_up(match: re.Match[str]) -> str:
            of, left, top, right, bottom = match.groups()
            return f"at({of or title!r}, {left!r}, {top}, {right!r}, {bottom or top})"

        python = _CELLS.sub(look_up, _EQUALS.sub("==", formula.removeprefix("=")))
        found = eval(python, {"__builtins__": {}}, _FUNCTIONS | {"at": self._at})  # noqa: S307 - formulas of ours
        return math.nan if found == "" else float(found)

    def _at(self, title: str, left: str, top: int, right: str | None, bottom: int) -> Any:
        assert right in {None, left}
        column = ord(left) - ord("A")
        rows = self.sheets[title].rows[top - FIRST : bottom - FIRST + 1]
        assert len(rows) == bottom - top + 1
        figures = [self.figure(title, row[column]) for row in rows]
        return np.array(figures) if right else figures[0]
