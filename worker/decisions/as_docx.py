"""A record as a Word document. Pure."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from worker.decisions.extra import needed
from worker.decisions.report import Section, Share, Table, report


def write(record: Mapping[str, Any]) -> bytes:
    """Write a record to be read. Whatever somebody said is text. Raises Permanent without the extra [report]."""
    with needed("DOCX"):
        import docx  # noqa: PLC0415 - the extra [report] is not installed everywhere
    made = report(record)
    document = docx.Document()
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
        document.add_paragraph(table.title, style="Caption")
        _table(document, table)
    for below in section.below:
        if below.points:
            _section(document, below, level + 1)


def _table(document: Any, table: Table) -> None:
    rows = [*([table.head] if table.head else []), *table.rows]
    made = document.add_table(0, len(rows[0]), style="Light List Accent 1" if table.head else "Table Grid")
    for row in rows:
        for cell, text in zip(made.add_row().cells, row, strict=True):
            cell.text = text.text if isinstance(text, Share) else text
    document.add_paragraph()


def _timeless(file: bytes) -> bytes:
    """Take the times from a ZIP: the same record is the same file."""
    again = BytesIO()
    with ZipFile(BytesIO(file)) as old, ZipFile(again, "w", ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(ZipInfo(name), old.read(name), ZIP_DEFLATED)
    return again.getvalue()
