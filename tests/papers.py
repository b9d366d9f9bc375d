"""Documents to be read: small ones that are well, and what makes those that are not."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile

from openpyxl import Workbook

_WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


def pdf(*pages: str) -> bytes:
    """A PDF of so many pages with these words, as letters of ASCII; a page without any is as a scan's."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {len(pages)} /Kids [{kids}] >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, words in enumerate(pages):
        shown = f"BT /F1 12 Tf 72 720 Td ({words}) Tj ET" if words else "0 0 m 9 9 l S"
        resources = f"/Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * number} 0 R"
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] {resources} >>",
            f"<< /Length {len(shown)} >>\nstream\n{shown}\nendstream",
        ]
    return pdf_of(objects)


def pdf_of(objects: Sequence[str]) -> bytes:
    """A PDF of these objects, numbered from 1; the first is its catalogue."""
    written, offsets = bytearray(b"%PDF-1.7\n"), []
    for number, each in enumerate(objects, 1):
        offsets.append(len(written))
        written += f"{number} 0 obj\n{each}\nendobj\n".encode("latin-1")
    rows = "".join(f"{each:010} 00000 n \n" for each in offsets)
    size = len(objects) + 1
    table = f"xref\n0 {size}\n0000000000 65535 f \n{rows}trailer\n<< /Size {size} /Root 1 0 R >>\n"
    return bytes(written) + f"{table}startxref\n{len(written)}\n%%EOF\n".encode()


def docx(body: str, others: Mapping[str, str] | None = None, *, head: str = "") -> bytes:
    """A Word document with this markup as its body, and as its headers, footers and notes, by their kinds."""
    relations = "".join(
        f'<Relationship Id="r{number}" Type="{_RELATIONS}/{kind}" Target="{kind}.xml"/>'
        for number, kind in enumerate(others or {})
    )
    parts = {
        "_rels/.rels": _relations(
            f'<Relationship Id="r" Type="{_RELATIONS}/officeDocument" Target="word/document.xml"/>'
        ),
        "word/_rels/document.xml.rels": _relations(relations),
        "word/document.xml": f"{head}<w:document {_WORD}><w:body>{body}</w:body></w:document>",
    }
    for kind, said in (others or {}).items():
        parts[f"word/{kind}.xml"] = f"<w:part {_WORD}>{said}</w:part>"
    return archive(parts)


def paragraph(*runs: str) -> str:
    """A paragraph of Word's, of these runs."""
    return f"<w:p>{''.join(f'<w:r><w:t>{each}</w:t></w:r>' for each in runs)}</w:p>"


def _relations(inside: str) -> str:
    return f'<Relationships xmlns="{_PACKAGE}">{inside}</Relationships>'


def archive(parts: Mapping[str, str | bytes]) -> bytes:
    """A ZIP archive of these files."""
    file = BytesIO()
    with ZipFile(file, "w", ZIP_DEFLATED) as made:
        for name, content in parts.items():
            made.writestr(name, content)
    return file.getvalue()


def xlsx(**sheets: Sequence[Sequence[object]]) -> bytes:
    """A workbook with these sheets, of which each is its rows."""
    workbook = Workbook(write_only=True)
    for name, rows in sheets.items():
        sheet = workbook.create_sheet(name)
        for row in rows:
            sheet.append(row)
    return saved(workbook)


def saved(workbook: Workbook) -> bytes:
    """A workbook as a file."""
    file = BytesIO()
    workbook.save(file)
    return file.getvalue()
