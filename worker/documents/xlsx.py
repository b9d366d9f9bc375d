"""Sheets of workbooks, row by row, with the values that were computed last."""

from collections.abc import Iterable
from datetime import date, datetime, time
from io import BytesIO
from itertools import chain, repeat
from typing import Any

from worker.documents.bounds import Pages, Unread
from worker.documents.package import Parts

SHEET_NAME = 100
"""Characters of a sheet's name; spreadsheets allow 31."""


def read(parts: Parts, pages: Pages) -> None:
    """Read all sheets, hidden ones too; charts have no cells. Raises Unread where openpyxl is missing."""
    try:
        from openpyxl import load_workbook  # noqa: PLC0415 - the extra [documents] is not installed everywhere
    except ImportError:
        raise Unread("openpyxl") from None
    values, formulas = (
        load_workbook(BytesIO(parts.content), read_only=True, data_only=known, keep_links=False)
        for known in (True, False)
    )
    sheets = list(zip(values.worksheets, formulas.worksheets, strict=True))
    for number, (sheet, written) in enumerate(sheets, 1):
        hidden = "" if sheet.sheet_state == "visible" else " (hidden)"
        name = " ".join(sheet.title.split())[:SHEET_NAME]
        pages.begin(f"sheet {number} of {len(sheets)}{hidden}: {name}")
        for each in (sheet, written):
            each.reset_dimensions()  # what it says of its size may be anything, and every row is filled up to it
        rows = zip(sheet.iter_rows(values_only=True), written.iter_rows(values_only=True), strict=True)
        for row, (known, formula) in enumerate(rows, 1):
            if text := _row(known, formula):
                pages.line(f"{row}: {text}")


def _row(values: Iterable[Any], formulas: Iterable[Any]) -> str:
    cells = [_cell(value, formula) for value, formula in zip(values, chain(formulas, repeat(None)), strict=False)]
    while cells and not cells[-1]:
        cells.pop()
    return " | ".join(cells)


def _cell(value: Any, formula: Any) -> str:
    if value is None:
        # Programs that write workbooks leave it to others to compute them.
        is_formula = isinstance(formula, str) and formula.startswith("=")
        return f"{' '.join(formula.split())} (not computed)" if is_formula else ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return format(value, ".15g")  # the digits that spreadsheets compute with
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    return " ".join(str(value).split())
