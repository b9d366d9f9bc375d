"""Records as files of office programs: what others said is text in them, and nothing else."""

import json
import re
import subprocess
import sys
import zlib
from collections import Counter
from datetime import datetime
from io import BytesIO
from typing import Any, Final
from zipfile import ZipFile

import pytest
import typst
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from defusedxml import ElementTree

from tests.unit.decisions.examples import at, parts
from tests.unit.decisions.test_formats import EVIL, GOOD, UNSURE, hostile, made
from worker.decisions import as_pdf, chain
from worker.decisions.formats import FORMATS
from worker.decisions.keys import SigningKey
from worker.decisions.record import Record
from worker.decisions.report import report
from worker.errors import Permanent

TEXT: Final = {"t", "si", "br", "tab"}
"""Elements that are no more than text: there are fewer where two texts are the same, and more where one has lines."""
LONG: Final = "9" * 20_000


class Archive:
    """A file that is a ZIP of XML. `parts` are the files in it, `text` all that is no markup."""

    def __init__(self, name: str, record: Record) -> None:
        with ZipFile(BytesIO(FORMATS[name].write(record))) as archive:
            self.parts = {each: archive.read(each) for each in archive.namelist()}
        trees = [ElementTree.fromstring(part) for each, part in self.parts.items() if each.endswith((".xml", ".rels"))]
        self.elements = [element for tree in trees for element in tree.iter()]
        self.tags = Counter(each.tag for each in self.elements if each.tag.rpartition("}")[2] not in TEXT)
        self.text = "".join(element.text or "" for element in self.elements)

    def of(self, tag: str) -> list[str]:
        """The texts of all elements of this name."""
        return [each.text or "" for each in self.elements if each.tag.rpartition("}")[2] == tag]

    @property
    def links(self) -> list[str]:
        """What is referred to outside."""
        return [each.attrib["Target"] for each in self.elements if each.attrib.get("TargetMode") == "External"]


def plain(text: str) -> str:
    """What of a text is letters of ASCII, which nothing escapes."""
    return "".join(re.findall(r"[\w ]+", text, re.ASCII))


def dissenting(texts: list[str]) -> Record:
    """A record in which somebody says each of these; what was computed hangs on none of them."""
    words = {"word" * number: text for number, text in enumerate(texts, start=1)}
    record = made(dissent={"dissent": [{"who": word, "text": word} for word in words]})
    kept = {digest: each | {"text": words.get(each["text"], each["text"])} for digest, each in record["texts"].items()}
    return record | {"texts": kept}


@pytest.mark.parametrize("name", ["xlsx", "docx"])
def test_office_programs_hold_hostile_words_as_words(name: str) -> None:
    every = "\n".join(EVIL)
    for evil, words in (
        (dissenting(EVIL), dissenting(["words"] * len(EVIL))),
        (hostile(every), hostile("words")),
    ):
        file, harmless = Archive(name, evil), Archive(name, words)
        assert file.parts.keys() == harmless.parts.keys()
        assert file.tags == harmless.tags
        assert file.of("f") == harmless.of("f")
        assert file.links == []
        lost = {text for text in EVIL if plain(text) not in plain(file.text)}
        assert lost <= {"{sums.Y}"}  # for which code has filled in a figure
        assert not set(file.text) & set("\x00\x07\x1b\x9b\u202e\u2066\ufeff\ufffe")


def asked_of_typst(record: Record, selector: str) -> Any:
    """What Typst has made of a record."""
    return json.loads(typst.query(str(as_pdf.SOURCE), selector, sys_inputs=as_pdf.inputs(record)))


def test_typst_holds_hostile_words_as_words() -> None:
    for record in (hostile("\n".join(EVIL)), dissenting(EVIL)):
        assert len(asked_of_typst(record, "heading")) == len(asked_of_typst(GOOD, "heading"))
        assert len(asked_of_typst(record, "table")) == len(asked_of_typst(GOOD, "table"))
        kinds = ("raw", "math.equation", "link", "image", "emph", "ref", "enum", "metadata", "footnote")
        assert asked_of_typst(record, f"selector({').or('.join(kinds)})") == []
        assert FORMATS["pdf"].write(record).startswith(b"%PDF-")
    items = [item["body"] for each in asked_of_typst(record, "list") for item in each["children"]]
    assert {"func": "text", "text": '#read("/etc/passwd"): #read("/etc/passwd")'} in items


def test_typst_draws_the_bars_above_their_table() -> None:
    bars = [each for section in report(UNSURE).sections for table in section.tables for each in table.plot]
    [plot] = asked_of_typst(UNSURE, "<plot>")
    assert len(plot["children"]) == 3 * len(bars) == 6
    assert "The small press, Quality" in json.dumps(plot)


def test_a_document_draws_the_bars_above_their_table() -> None:
    book = Archive("docx", UNSURE)
    bars = [each for section in report(UNSURE).sections for table in section.tables for each in table.plot]
    described = [each.attrib["descr"] for each in book.elements if each.tag.endswith("}docPr")]
    assert described == [each.text for each in bars]
    pictures = [png for name, png in book.parts.items() if name.startswith("word/media/")]
    assert len(pictures) == len(bars) == 2
    for png, bar in zip(pictures, bars, strict=True):
        drawn = colors(png)
        for kind, color in (("low", (194, 124, 44)), ("high", (74, 127, 193)), ("zero", (192, 57, 43))):
            start, end = bar.parts[kind]
            assert drawn.get(color, 0) == pytest.approx(end - start, abs=0.01), kind  # of the mark's width


def colors(png: bytes) -> dict[tuple[int, ...], float]:
    """How much of a picture without filters, of 8 bits and 3 channels, has which color."""
    width = int.from_bytes(png[16:20])
    length = int.from_bytes(png[33:37])
    line = zlib.decompress(png[41 : 41 + length])[1 : 1 + 3 * width]
    counted = Counter(tuple(line[place : place + 3]) for place in range(0, len(line), 3))
    return {color: count / width for color, count in counted.items()}


@pytest.mark.parametrize("name", ["xlsx", "docx"])
def test_a_unit_is_cleaned_like_all_words(name: str) -> None:
    objectives = parts()["objectives"]["objectives"]
    units = {"objectives": [each | {"unit": "\x1b[2J\u202e€"} for each in objectives]}
    text = Archive(name, made(objectives=units)).text
    assert "\ufffd[2J\ufffd€" in text
    assert "\u202e" not in text


def test_a_document_s_columns_have_room_for_words_its_rows_stay_whole_and_its_heads_come_again() -> None:
    book = Archive("docx", made(dissent={"dissent": [{"who": "Sales", "text": "No."}]}))
    tables = [each for each in book.elements if each.tag.endswith("}tbl")]
    own = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
    for table in tables:
        widths = [int(each.attrib[f"{own}w"]) for each in table.iter(f"{own}gridCol")]
        assert sum(widths) == pytest.approx(17 / 2.54 * 1440, rel=0.01), "the paper's width without its margins"
        assert min(widths) > 500, "nine millimetres"
        heads = [each.attrib[f"{own}val"] for each in table.iter(f"{own}tblHeader")]
        assert heads == ["0" if table is tables[0] else "1", *["0"] * (len(heads) - 1)]
        assert {each.attrib[f"{own}val"] for each in table.iter(f"{own}cantSplit")} == {"1"}


def test_rows_of_a_workbook_are_high_enough_for_what_stands_in_them() -> None:
    alternatives = parts()["alternatives"]["alternatives"]
    alternatives[0] |= {"name": "The large press " * 5}
    book = Archive("xlsx", made(alternatives={"alternatives": alternatives}))
    sheet = ElementTree.fromstring(book.parts["xl/worksheets/sheet2.xml"])
    rows = [each.attrib for each in sheet.iter() if each.tag.endswith("}row")]
    assert [float(each.get("ht", 15)) for each in rows] == [15, 60, 15, 15]


def test_words_that_look_like_formulas_and_links_are_strings_of_a_workbook() -> None:
    book = Archive("xlsx", hostile('=HYPERLINK("https://evil.example")'))
    assert '=HYPERLINK("https://evil.example") The large press' in book.of("t")
    assert not [each for each in book.of("f") if "HYPERLINK" in each]


@pytest.mark.parametrize("name", ["xlsx", "docx"])
def test_long_words_are_written_whole(name: str) -> None:
    assert LONG in "".join(Archive(name, hostile(f"{'👩' * 15_000}{LONG}")).text.split("\n"))


@pytest.mark.parametrize("name", ["xlsx", "docx", "pdf"])
def test_the_same_record_is_the_same_file(name: str) -> None:
    assert FORMATS[name].write(GOOD) == FORMATS[name].write(json.loads(json.dumps(GOOD)))


@pytest.mark.parametrize(("name", "package"), [("xlsx", "xlsxwriter"), ("docx", "docx"), ("pdf", "typst")])
def test_without_the_extra_it_says_what_to_install(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(Permanent, match=rf"{package} is missing: pip install 'assistant-worker\[report\]'"):
        FORMATS[name].write(GOOD)


def test_nothing_that_writes_files_is_imported_before_it_is_wanted() -> None:
    program = "import sys, worker.decisions.formats; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    assert "worker.decisions.as_xlsx" in loaded
    assert not {"xlsxwriter", "docx", "lxml", "typst"} & loaded


def test_hashes_of_rows_that_a_key_has_signed_end_before_the_edge_of_the_paper() -> None:
    """What is beyond the edge nobody reads on paper, and no reader of PDFs shows."""
    key = SigningKey(Ed25519PrivateKey.from_private_bytes(b"1" * 32))
    rows = list[dict[str, Any]]()
    for number in range(2):
        told = {"by": "Ann Lee", "why": "the claim of May"}
        kind: Any = ("hold", "release")[number]
        before = rows[-1] if rows else None
        rows.append(chain.row(kind, before, GOOD, datetime.fromisoformat(at(number)), told, key))
    pages = typst.compile(str(as_pdf.SOURCE), sys_inputs=as_pdf.inputs(GOOD | {"rows": rows}), format="png", ppi=36)
    for page in pages if isinstance(pages, list) else [pages]:
        assert pixels_right_of(page, 1 - 1.9 / 21) == {b"\xff"}


def pixels_right_of(png: bytes, part: float) -> set[bytes]:
    """The bytes of the pixels of a picture with 8 bits and 4 channels that stand right of this part of its width."""
    chunks, place = dict[bytes, bytes](), 8
    while place < len(png):
        length, kind = int.from_bytes(png[place : place + 4]), png[place + 4 : place + 8]
        chunks[kind] = chunks.get(kind, b"") + png[place + 8 : place + 8 + length]
        place += 12 + length
    width, size = int.from_bytes(chunks[b"IHDR"][:4]), 4
    raw, above, found = zlib.decompress(chunks[b"IDAT"]), bytearray(width * size), set[bytes]()
    assert chunks[b"IHDR"][8:10] == b"\x08\x06", "8 bits, with alpha"
    for start in range(0, len(raw), width * size + 1):
        how, line = raw[start], bytearray(raw[start + 1 : start + 1 + width * size])
        for index in range(len(line)):
            left = line[index - size] if index >= size else 0
            corner = above[index - size] if index >= size else 0
            line[index] = (line[index] + _filtered(how, left, above[index], corner)) & 0xFF
        found |= {bytes([each]) for each in line[int(width * part) * size :]}
        above = line
    return found


def _filtered(how: int, left: int, above: int, corner: int) -> int:
    """What PNG's filter of this number has taken off a byte."""
    nearest = min((left, above, corner), key=lambda each: abs(left + above - corner - each))
    return (0, left, above, (left + above) // 2, nearest)[how]
