"""A record as a Word document. Pure."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from worker.decisions.extra import needed
from worker.decisions.report import Section, Share, Table, report

_CM: Final = 360_000
"""In the units that Word's measures are in, as all these are."""
_PAPER: Final = (21 * _CM, int(29.7 * _CM))
_MARGIN: Final = 2 * _CM
_WIDTH: Final = 17 * _CM
_SMALL: Final = 107_950
"""8.5 points, for tables."""
_LINE: Final = 100
"""Letters of that size that stand beside each other on the paper."""
_LONGEST_WORD: Final = 16
_SHORTEST: Final = 8
_LONG: Final = 600
"""Letters from which on a cell may be higher than a page."""


def write(record: Mapping[str, Any]) -> bytes:
    """Write a record to be read. Whatever somebody said is text. Raises Permanent without the extra [report]."""
    with needed("DOCX"):
        import docx  # noqa: PLC0415 - the extra [report] is not installed everywhere
    made = report(record)
    document = docx.Document()
    _paper(document.sections[0])
    # python-docx's template names itself in both.
    document.core_properties.author = ""
    document.core_properties.comments = ""
    document.add_heading(made.title, 0)
    _table(document, Table("", [], [[name, value] for name, value in made.facts.items()]))
    for section in made.sections:
        _section(document, section, 1)
    file = BytesIO()
    document.save(file)
    return _timeless(file.getvalue())


def _section(document: Any, section: Section, level: int) -> None:
    document.add_heading(section.title, level)
    for text in section.words:
        document.add_paragraph(text)
    for text in section.points:
        document.add_paragraph(text, style="List Bullet")
    for table in section.tables:
        document.add_paragraph(table.title, style="Caption").paragraph_format.keep_with_next = True
        _table(document, table)
    for below in section.below:
        if below.points:
            _section(document, below, level + 1)


def _paper(section: Any) -> None:
    section.page_width, section.page_height = _PAPER
    section.left_margin = section.right_margin = _MARGIN


def _table(document: Any, table: Table) -> None:
    rows = [[each.text if isinstance(each, Share) else each for each in row] for row in table.rows]
    rows = [*([[*table.head]] if table.head else []), *rows]
    made = document.add_table(0, len(rows[0]), style="Light List Accent 1" if table.head else "Table Grid")
    made.autofit = False
    widths = _widths(rows)
    # Word goes by the cells' widths, and LibreOffice by the columns'.
    for column, width in zip(made.columns, widths, strict=True):
        column.width = width
    for number, row in enumerate(rows):
        added = made.add_row()
        # Word lets a row go on on the next page, and shows its head on the first one alone.
        properties = added._tr.get_or_add_trPr()  # noqa: SLF001 - python-docx has no other way to either
        _mark(properties, "w:cantSplit", is_so=all(len(text) <= _LONG for text in row))
        _mark(properties, "w:tblHeader", is_so=bool(table.head) and number == 0)
        for cell, text, width in zip(added.cells, row, widths, strict=True):
            cell.text, cell.width = text, width
            for paragraph in cell.paragraphs:
                for run in paragraph.runs:
                    run.font.size = _SMALL
    document.add_paragraph()


def _mark(properties: Any, name: str, *, is_so: bool) -> None:
    """Say both: then nothing that somebody said decides which elements there are."""
    from docx.oxml import OxmlElement  # noqa: PLC0415 - as above
    from docx.oxml.ns import qn  # noqa: PLC0415 - as above

    mark = OxmlElement(name)
    mark.set(qn("w:val"), "1" if is_so else "0")
    properties.append(mark)


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """Share out the width of the paper: to each column its longest word if it can be, and the rest by its texts."""
    least, wanted = list[float](), list[float]()
    for column in zip(*rows, strict=True):
        word = max(len(word) for text in column for word in ["", *text[:_LONG].split()])
        least.append(max(_SHORTEST, min(word, _LONGEST_WORD) + 3))
        wanted.append(max(1, max(len(text[:_LONG]) for text in column) + 3 - least[-1]))
    rest = max(0.0, _LINE - sum(least)) / sum(wanted)
    given = [each + more * rest for each, more in zip(least, wanted, strict=True)]
    return [int(_WIDTH * each / sum(given)) for each in given]


def _timeless(file: bytes) -> bytes:
    """Take the times from a ZIP: the same record is the same file."""
    again = BytesIO()
    with ZipFile(BytesIO(file)) as old, ZipFile(again, "w", ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(ZipInfo(name), old.read(name), ZIP_DEFLATED)
    return again.getvalue()
