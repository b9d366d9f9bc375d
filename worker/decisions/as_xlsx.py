"""A record as a workbook: what is read, and its ranking in formulas that a spreadsheet computes anew. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, Final

from worker.decisions import calculation
from worker.decisions.calculation import Cell, Formula, Sheet
from worker.decisions.extra import needed
from worker.decisions.report import Report, Section, Share, report, shown

_LONGEST: Final = 32_767 // 2
"""Characters that fit into a cell, even if each counts twice."""
_WIDTHS: Final = {"Name": 26, "Keeps hard limits": 18, "Statement": 40, "Why": 60}
_FIRST_WIDTH: Final = 40
_WIDTH: Final = 22
_COLUMNS: Final = 60
_LAST: Final = 7
"""The column up to which words may go: no table has more."""
_ACROSS: Final = {"words": 0, "fact": 1}
"""From which column on the last text of a row goes over all that follow, by the row's kind."""
_LINE: Final = 15
"""Points."""
_HIGHEST: Final = 405
"""Points; a row of Excel has 409 at most."""
_MADE: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""The same record is the same file."""


def write(record: Mapping[str, Any]) -> bytes:
    """Write a record as sheets. Whatever somebody said is text. Raises Permanent without the extra [report]."""
    with needed("XLSX"):
        import xlsxwriter  # noqa: PLC0415 - the extra [report] is not installed everywhere
    file = BytesIO()
    with xlsxwriter.Workbook(file, {"in_memory": True}) as book:
        book.set_properties({"created": _MADE})
        writer = _Writer(book)
        writer.read(report(record))
        for sheet in calculation.sheets(shown(record)):
            writer.calculated(sheet)
    return file.getvalue()


class _Writer:
    def __init__(self, book: Any) -> None:
        self.book = book
        self.plain = book.add_format({"text_wrap": True, "valign": "top"})
        self.bold = book.add_format({"bold": True, "text_wrap": True, "valign": "top"})
        self.title = book.add_format({"bold": True, "font_size": 14})
        self.figure = book.add_format({"align": "left", "valign": "top"})
        self.given = book.add_format({"align": "left", "valign": "top", "font_color": "#0000FF"})
        self.recorded = book.add_format({"align": "left", "valign": "top", "font_color": "#666666", "italic": True})

    def read(self, made: Report) -> None:
        """Add the sheet that has all that other formats have, as text."""
        sheet = self._sheet("Record")
        sheet.set_column(0, 0, _FIRST_WIDTH)
        sheet.set_column(1, _COLUMNS, _WIDTH)
        for row, (kind, texts) in enumerate(_rows(made)):
            style = getattr(self, "plain" if kind in _ACROSS else kind)
            if (first := _ACROSS.get(kind)) is not None:
                # Never with the text, which would be taken for a formula as below.
                sheet.merge_range(row, first, row, _LAST, "", style)
            if kind != "title":
                sheet.set_row(row, _height(texts, _widths(first)))
            for column, text in enumerate(texts):
                # Never by write(), which takes a text that begins with = for a formula.
                sheet.write_string(row, column, text, style)

    def calculated(self, made: Sheet) -> None:
        """Add a sheet that computes. What may be changed is blue, what was recorded grey."""
        sheet = self._sheet(made.title)
        sheet.freeze_panes(1, 0)
        sheet.repeat_rows(0)
        widths = [_WIDTHS.get(head, 14) for head in made.head]
        for row, cells in enumerate(made.rows, start=1):
            sheet.set_row(row, _height([each if isinstance(each, str) else "" for each in cells], widths))
        for column, head in enumerate(made.head):
            sheet.set_column(column, column, widths[column])
            sheet.write_string(0, column, head, self.bold)
            style = self.recorded if head.startswith("Recorded") else self.given
            for row, cells in enumerate(made.rows, start=1):
                self._write(sheet, row, column, cells[column], style)

    def _sheet(self, title: str) -> Any:
        sheet = self.book.add_worksheet(title)
        sheet.set_landscape()
        sheet.set_paper(9)  # A4
        sheet.fit_to_pages(1, 0)
        return sheet

    def _write(self, sheet: Any, row: int, column: int, cell: Cell, style: Any) -> None:
        if isinstance(cell, str):
            sheet.write_string(row, column, _cut(cell), self.plain)
        elif isinstance(cell, Formula):
            # With what it came to: a program that only shows the file does not compute.
            sheet.write_formula(row, column, cell.text, self.figure, cell.figure)
        elif cell is not None:
            sheet.write_number(row, column, cell, style)


def _rows(made: Report) -> Iterator[tuple[str, Sequence[str]]]:
    yield "title", [_cut(made.title)]
    for name, value in made.facts.items():
        yield from (("fact", ["" if place else name, piece]) for place, piece in enumerate(_pieces(value)))
    for section in made.sections:
        yield from _section(section)


def _section(section: Section) -> Iterator[tuple[str, Sequence[str]]]:
    yield "plain", []
    yield "title", [section.title]
    for text in [*section.words, *section.points]:
        yield from (("words", [piece]) for piece in _pieces(text))
    for table in section.tables:
        yield "plain", []
        yield "bold", [table.title]
        yield "bold", [_cut(each) for each in table.head]
        for row in table.rows:
            yield "plain", [_cut(cell.text if isinstance(cell, Share) else cell) for cell in row]
    for below in section.below:
        if below.points:
            yield from _section(below)


def _widths(across: int | None) -> list[int]:
    """Say how many letters columns of what is read have room for, the one of `across` with all that follow."""
    widths = [_FIRST_WIDTH, *[_WIDTH] * _LAST]
    return widths if across is None else [*widths[:across], sum(widths[across:])]


def _height(texts: Sequence[str], widths: Sequence[int]) -> int:
    """Guess how high a row has to be for its texts, in points: not every program looks before it prints."""
    # Lines end with a word, and so before the last letter that there is room for.
    lines = (
        sum(len(line) // (width - 2) + 1 for line in text.split("\n"))
        for text, width in zip(texts, widths, strict=False)
    )
    return min(_HIGHEST, _LINE * max(lines, default=1))


def _pieces(text: str) -> list[str]:
    return [text[start : start + _LONGEST] for start in range(0, len(text), _LONGEST)]


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
