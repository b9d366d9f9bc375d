"""Documents that are damaged, locked, or made to take hours and gigabytes: each ends soon, with what to do."""

import asyncio
import os
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest
from pypdf import PdfReader, PdfWriter

from tests import papers
from tests.waiting import wait_until
from worker.documents import DocumentReader, reader
from worker.documents.bounds import BOUNDS, Bounds
from worker.domain.documents import Form
from worker.errors import BadInput

LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
BILLION = f'<!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]>'
SECRET = '<!DOCTYPE x [<!ENTITY l9 SYSTEM "file:///etc/hostname">]>'


async def refusal(content: bytes, form: Form = "office", bounds: Bounds = BOUNDS) -> str:
    """Say why a document is not read."""
    with pytest.raises(BadInput) as refused:
        await DocumentReader(bounds).read(content, form, 100_000)
    return str(refused.value)


def endless_pdf() -> bytes:
    """A tree of pages in which each branch leads twice to the next: more pages than anybody counts."""
    deep = 40
    branches = [f"<< /Type /Pages /Count 2 /Kids [{3 + n} 0 R {3 + n} 0 R] >>" for n in range(deep)]
    return papers.pdf_of(["<< /Type /Catalog /Pages 2 0 R >>", *branches, "<< /Type /Page >>"])


def encrypted_pdf() -> bytes:
    writer = PdfWriter(clone_from=PdfReader(BytesIO(papers.pdf("Secret"))))
    writer.encrypt("password", algorithm="AES-256")
    file = BytesIO()
    writer.write(file)
    return file.getvalue()


def lying_archive() -> bytes:
    """An archive with a part that is longer than the archive says."""
    file = BytesIO(papers.docx(papers.paragraph("x" * 10_000)))
    with ZipFile(file, "a") as archive:
        archive.getinfo("word/document.xml").file_size = 100
        archive.comment = b"written anew"
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (encrypted_pdf(), "is encrypted: hand over a copy that opens without a password"),
        (papers.pdf(*["x"] * 10_000), "has more than 1,000 pages: hand over the part that is needed"),
        (b"%PDF-1.7 and nothing behind it", "cannot be read and may be damaged"),
        (papers.pdf("x")[:200], "cannot be read and may be damaged"),
    ],
)
async def test_a_pdf_that_cannot_be_read_says_what_to_do(content: bytes, said: str) -> None:
    assert said in await refusal(content, "pdf")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04 and nothing behind it", "cannot be read and may be damaged"),
        (papers.archive({"a.txt": "x"}), "is an archive, and neither DOCX nor XLSX"),
        (papers.docx(papers.paragraph("&l9;"), head=BILLION), "cannot be read"),
        (papers.docx(papers.paragraph("&l9;"), head=SECRET), "cannot be read"),
        (papers.docx("<w:p>" * 100_000), "cannot be read"),
        (papers.docx("<w:p></w:tbl>"), "cannot be read"),
        (lying_archive(), "cannot be read"),
    ],
)
async def test_an_archive_that_cannot_be_read_says_what_to_do(content: bytes, said: str) -> None:
    assert said in await refusal(content)


@pytest.mark.parametrize("head", [BILLION, SECRET])
@pytest.mark.parametrize("name", ["xl/workbook.xml", "xl/worksheets/sheet1.xml", "xl/styles.xml"])
async def test_a_workbook_with_entities_is_not_read(head: str, name: str) -> None:
    with ZipFile(BytesIO(papers.xlsx(Prices=[["a"]]))) as archive:
        parts = {each: archive.read(each) for each in archive.namelist()}
    xml = parts[name].decode()
    start = xml.index("?>") + 2 if xml.startswith("<?xml") else 0
    parts[name] = f"{xml[:start]}{head}{xml[start:]}".encode()

    assert "cannot be read" in await refusal(papers.archive(parts))


async def test_an_archive_that_unpacks_to_more_than_it_may_is_not_unpacked() -> None:
    bomb = papers.docx(papers.paragraph(" " * 5_000_000))

    assert len(bomb) < 50_000
    assert "comes to more than 1,000,000 bytes" in await refusal(bomb, bounds=Bounds(unpacked=1_000_000))


async def test_a_pdf_whose_pages_have_no_end_takes_no_longer_than_it_may() -> None:
    """Which of its bounds it meets first depends on the machine: pypdf counts some pages, and then no further."""
    said = await refusal(endless_pdf(), "pdf", Bounds(cpu_seconds=1))
    assert "takes more than 1 s to read" in said or "has more than 1,000 pages" in said


async def test_whoever_makes_it_wait_takes_no_longer_than_it_may() -> None:
    said = await refusal(endless_pdf(), "pdf", Bounds(seconds=1))
    assert "takes more than" in said or "has more than 1,000 pages" in said


async def test_a_document_takes_no_more_memory_than_it_may() -> None:
    large = papers.docx(papers.paragraph("x" * 60_000_000))

    assert "takes more memory" in await refusal(large, bounds=Bounds(memory=100_000_000))


async def test_a_cell_at_the_far_end_of_a_sheet_costs_no_more_than_its_row() -> None:
    with ZipFile(BytesIO(papers.xlsx(Far=[["a"]]))) as archive:
        parts = {each: archive.read(each) for each in archive.namelist()}
    sheet = parts["xl/worksheets/sheet1.xml"].decode()
    far = '<row r="1048576"><c r="XFD1048576"><v>7</v></c></row></sheetData>'
    sheet = sheet.replace("</sheetData>", far).replace("<sheetData>", '<dimension ref="A1:XFD1048576"/><sheetData>')
    parts["xl/worksheets/sheet1.xml"] = sheet.encode()
    pages = await DocumentReader().read(papers.archive(parts), "office", 100_000)

    assert pages is not None
    assert [page.text.split(":")[0] for page in pages] == ["1"]
    assert pages[0].text.endswith(" | 7")


async def test_the_process_ends_with_whoever_waits_for_it() -> None:
    before = children()
    reading = asyncio.create_task(DocumentReader().read(endless_pdf(), "pdf", 1000))
    await wait_until(lambda: children() - before, what="a process that reads")
    reading.cancel()
    await asyncio.wait([reading])

    assert children() == before


def children() -> set[str]:
    return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())


@pytest.mark.parametrize(
    ("package", "content", "form"), [("pypdf", papers.pdf("x"), "pdf"), ("openpyxl", papers.xlsx(A=[[1]]), "office")]
)
async def test_without_the_extra_an_incident_says_how_to_install_it(
    package: str, content: bytes, form: Form, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{package}.py").write_text("raise ImportError")
    monkeypatch.syspath_prepend(tmp_path)

    assert f"lacks {package}: whoever runs it has to install it, pip install 'assistant-worker[documents]'" in (
        await refusal(content, form)
    )


def test_the_process_is_told_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")

    assert reader._environment().keys() <= {"PATH", "LD_LIBRARY_PATH", "LANG", "PYTHONPATH", "OPENPYXL_LXML"}
