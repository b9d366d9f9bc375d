"""Documents as they are read by a process of its own: what is in them, page by page."""

from datetime import date, datetime, time
from io import BytesIO

import docx
import openpyxl
import pytest
import typst
from openpyxl.chart import BarChart
from pypdf import PdfReader, PdfWriter
from pypdf.generic import NameObject, TextStringObject

from tests import papers
from worker.documents import DocumentReader
from worker.domain.documents import Form, Page, form_of

PLENTY = 1_000_000


async def read(content: bytes, form: Form | None = None, encoding: str | None = None) -> dict[str, str]:
    """Texts of a document by their marks."""
    form = form or form_of(content, "")
    assert form is not None
    pages = await DocumentReader().read(content, form, PLENTY, encoding)
    assert pages is not None
    return {page.mark: page.text for page in pages}


async def test_a_pdf_is_read_page_by_page() -> None:
    written = typst.compile(
        "#set page(width: 9cm, height: 6cm)\nZwölf Ladesäulen, je 150 kW.\n#pagebreak()\nPreis: 9 €".encode()
    )

    assert await read(written) == {
        "page 1 of 2": "Zwölf Ladesäulen, je 150 kW.",
        "page 2 of 2": "Preis: 9 €",
    }


async def test_a_page_without_text_keeps_its_place() -> None:
    assert await read(papers.pdf("One", "", "Three")) == {
        "page 1 of 3": "One",
        "page 2 of 3": "",
        "page 3 of 3": "Three",
    }


async def test_what_was_filled_into_a_form_is_read() -> None:
    writer = PdfWriter(BytesIO(papers.pdf("Offer")))
    field = writer.add_annotation(0, {"/Type": "/Annot", "/Subtype": "/Widget", "/Rect": [0, 0, 9, 9]})
    field[NameObject("/FT")] = NameObject("/Tx")
    field[NameObject("/T")] = TextStringObject("price")
    field[NameObject("/V")] = TextStringObject("120 000")
    writer.root_object[NameObject("/AcroForm")] = writer._add_object(
        writer.root_object.__class__({NameObject("/Fields"): writer.pages[0]["/Annots"]})
    )
    file = BytesIO()
    writer.write(file)

    assert (await read(file.getvalue()))["form"] == "price: 120 000"


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-256"])
async def test_a_pdf_that_opens_without_a_password_is_read_although_it_is_encrypted(algorithm: str) -> None:
    writer = PdfWriter(clone_from=PdfReader(BytesIO(papers.pdf("Not to be printed"))))
    writer.encrypt("", "owner's", algorithm=algorithm)
    file = BytesIO()
    writer.write(file)

    assert await read(file.getvalue()) == {"page 1 of 1": "Not to be printed"}


async def test_a_word_document_is_read_with_its_tables_in_their_place() -> None:
    document = docx.Document()
    document.sections[0].header.paragraphs[0].text = "Confidential"
    document.add_paragraph("Before")
    table = document.add_table(2, 2)
    for cell, text in zip(
        [each for row in table.rows for each in row.cells], ["kW", "Price", "150", "9\n€"], strict=True
    ):
        cell.text = text
    document.add_paragraph("Behind\ttwo\nlines")
    file = BytesIO()
    document.save(file)

    assert await read(file.getvalue()) == {
        "": "Before\nkW | Price\n150 | 9 €\nBehind\ttwo\nlines",
        "header": "Confidential",
    }


RUN = "<w:r><w:t>{}</w:t></w:r>"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (f"<w:p>was <w:ins>{RUN.format('inserted')}</w:ins></w:p>", "inserted"),
        (f"<w:p>{RUN.format('stays')}<w:del><w:r><w:delText>x</w:delText><w:tab/></w:r></w:del></w:p>", "stays"),
        (f"<w:p><w:moveFrom>{RUN.format('there')}</w:moveFrom><w:moveTo>{RUN.format('here')}</w:moveTo></w:p>", "here"),
        (f"<w:sdt><w:sdtContent>{papers.paragraph('a field')}</w:sdtContent></w:sdt>", "a field"),
        (f"<w:p><w:hyperlink>{RUN.format('linked')}</w:hyperlink></w:p>", "linked"),
        (f"<w:p>{RUN.format('a')}<w:r><w:pict>{papers.paragraph('boxed')}</w:pict></w:r></w:p>", "a\nboxed"),
        (f"<w:tbl><w:tr><w:tc><w:p/></w:tc><w:tc>{papers.paragraph('2') * 2}</w:tc></w:tr></w:tbl>", " | 2 2"),
        ("<w:p><w:r><w:instrText>PAGE</w:instrText><w:noBreakHyphen/><w:t>x</w:t></w:r></w:p>", "-x"),
    ],
)
async def test_nothing_that_is_seen_in_a_word_document_is_left_out(body: str, text: str) -> None:
    assert await read(papers.docx(body)) == {"": text}


async def test_what_stands_twice_for_older_programs_is_read_once() -> None:
    inside = papers.paragraph("boxed")
    choice = f"<m:Choice>{inside}</m:Choice><m:Fallback>{inside}</m:Fallback>"
    body = f'<w:p><w:r><m:AlternateContent xmlns:m="m">{choice}</m:AlternateContent></w:r></w:p>'

    assert await read(papers.docx(body)) == {"": "boxed"}


async def test_notes_are_read_with_the_numbers_that_lead_to_them() -> None:
    body = '<w:p><w:r><w:t>Free of charge</w:t><w:footnoteReference w:id="2"/></w:r></w:p>'
    note = f'<w:footnote w:id="2">{papers.paragraph("From the second year on")}</w:footnote>'

    assert await read(papers.docx(body, {"footnotes": note})) == {
        "": "Free of charge[footnote 2]",
        "footnotes": "[footnote 2] From the second year on",
    }


async def test_a_workbook_is_read_sheet_by_sheet_with_the_numbers_of_its_rows() -> None:
    workbook = openpyxl.Workbook()
    prices = workbook.active
    assert prices is not None
    prices.title = "Prices"
    prices.append(["Charger", "kW", "from", "at", "paid"])
    prices.append(["Fast", 0.1 + 0.2, date(2026, 11, 21), datetime(2026, 11, 21, 14, 30), True])  # noqa: DTZ001 - cells have none
    prices["B5"] = "two\nlines"
    prices["C6"] = time(14, 30)
    notes = workbook.create_sheet("Notes")
    notes.sheet_state = "hidden"
    notes["A1"] = 7
    workbook.create_chartsheet("Chart").add_chart(BarChart())

    assert await read(papers.saved(workbook)) == {
        "sheet 1 of 2: Prices": (
            "1: Charger | kW | from | at | paid\n"
            "2: Fast | 0.3 | 2026-11-21 | 2026-11-21T14:30:00 | TRUE\n"
            "5:  | two lines\n"
            "6:  |  | 14:30:00"
        ),
        "sheet 2 of 2 (hidden): Notes": "1: 7",
    }


async def test_a_formula_shows_its_value_and_itself_where_nobody_has_computed_it() -> None:
    computed = papers.xlsx(Sum=[[1, 2, "=A1+B1"]])

    assert await read(computed) == {"sheet 1 of 1: Sum": "1: 1 | 2 | =A1+B1 (not computed)"}


@pytest.mark.parametrize(
    ("content", "encoding", "text"),
    [
        (b"<title>Offer</title><p>a  <b>bold</b>\nword<br>next", None, "Offer\na bold word\nnext"),
        (b"<script>let a = '<p>'</script><style>p {}</style><p>seen", None, "seen"),
        (b"<table><tr><th>kW<th>Price</tr><tr><td>150</td><td>9</td></tr></table>", None, "kWPrice\n150 | 9"),
        ("<p>Größe".encode(), None, "Größe"),
        ('<meta charset="iso-8859-1"><p>Größe'.encode("latin-1"), None, "Größe"),
        ("<p>Größe".encode("latin-1"), "ISO-8859-1", "Größe"),
        (b"<p>&lt;script&gt; &amp; &euro;", None, "<script> & €"),
        (b"<p>seen<p hidden=<<!-- --><![CDATA[<p", None, "seen\n<![CDATA[<p"),
    ],
)
async def test_of_html_is_read_what_is_seen(content: bytes, encoding: str | None, text: str) -> None:
    assert await read(content, "html", encoding) == {"": text}


async def test_more_text_than_is_wanted_is_none() -> None:
    reader, content = DocumentReader(), papers.pdf("x" * 50, "y" * 50)

    assert await reader.read(content, "pdf", 101) is None
    assert await reader.read(content, "pdf", 102) == (
        Page("page 1 of 2", "x" * 50),
        Page("page 2 of 2", "y" * 50),
    )


@pytest.mark.parametrize(
    ("content", "type_", "form"),
    [
        (b"%PDF-1.7", "text/plain", "pdf"),
        (b"PK\x03\x04", "", "office"),
        (b"<p>", "text/html; charset=utf-8", "html"),
        (b"<p>", "text/plain", None),
        (b"", "", None),
    ],
)
def test_a_document_is_known_by_how_it_begins(content: bytes, type_: str, form: Form | None) -> None:
    assert form_of(content, type_) == form
