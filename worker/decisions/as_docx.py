"""A record as a Word document. Pure."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from worker.decisions.extra import needed
from worker.decisions.report import LEGEND, Bar, Section, Share, Table, report

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
_BAR: Final = (7 * _CM, int(0.3 * _CM))
_PADDING: Final = _CM // 2
_PIXELS: Final = (700, 30)
_COLORS: Final = {"low": (194, 124, 44), "high": (74, 127, 193), "zero": (192, 57, 43)}
_TRACK: Final = (225, 225, 225)
_CALLED: Final = {"low": "orange", "high": "blue", "zero": "red"}


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
        if table.plot:
            _plot(document, table.plot)
        _table(document, table)
    for below in section.below:
        if below.points:
            _section(document, below, level + 1)


def _paper(section: Any) -> None:
    section.page_width, section.page_height = _PAPER
    section.left_margin = section.right_margin = _MARGIN


def _plot(document: Any, bars: Sequence[Bar]) -> None:
    """Draw bars, each a picture between its words, which stay words."""
    legend = "; ".join(f"{_CALLED[kind]}: {words}" for kind, words in LEGEND.items())
    rows = [[bar.label, "", bar.text] for bar in bars]
    made = _table(document, Table("", ["Of", legend, "From … to"], rows), _BAR[0] + _PADDING)
    for row, bar in zip(made.rows[1:], bars, strict=True):
        run = row.cells[1].paragraphs[0].add_run()
        picture = run.add_picture(BytesIO(_picture(bar)), *_BAR)
        picture._inline.docPr.set("descr", bar.text)  # noqa: SLF001 - python-docx has no other way to what it shows


def _picture(bar: Bar) -> bytes:
    """Draw a bar as a PNG: all of its lines are the same."""
    width, height = _PIXELS
    line = [_TRACK] * width
    for kind, (start, end) in bar.parts.items():
        first, last = round(width * start), round(width * end)
        line[first:last] = [_COLORS[kind]] * (last - first)
    data = zlib.compress((b"\0" + bytes(each for color in line for each in color)) * height)
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT" + data, b"IEND")
    framed = (struct.pack(">I", len(each) - 4) + each + struct.pack(">I", zlib.crc32(each)) for each in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def _table(document: Any, table: Table, second: int | None = None) -> Any:
    """Add a table; its second column is so wide if that is said."""
    rows = [[each.text if isinstance(each, Share) else each for each in row] for row in table.rows]
    rows = [*([[*table.head]] if table.head else []), *rows]
    made = document.add_table(0, len(rows[0]), style="Light List Accent 1" if table.head else "Table Grid")
    made.autofit = False
    widths = _widths(rows)
    if second is not None:
        rest = (_WIDTH - second) / (sum(widths) - widths[1])
        widths = [second if place == 1 else int(width * rest) for place, width in enumerate(widths)]
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
    return made


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
