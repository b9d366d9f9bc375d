"""Records as files of office programs: what others said is text in them, and nothing else."""

import json
import re
import subprocess
import sys
from collections import Counter
from io import BytesIO
from zipfile import ZipFile

import pytest
from defusedxml import ElementTree

from tests.unit.decisions.test_formats import EVIL, GOOD, hostile
from worker.decisions.formats import FORMATS
from worker.decisions.record import Record
from worker.errors import Permanent

LONG = "9" * 20_000


class Archive:
    """A file that is a ZIP of XML. `parts` are the files in it, `text` all that is no markup."""

    def __init__(self, name: str, record: Record) -> None:
        with ZipFile(BytesIO(FORMATS[name].write(record))) as archive:
            self.parts = {each: archive.read(each) for each in archive.namelist()}
        trees = [ElementTree.fromstring(part) for each, part in self.parts.items() if each.endswith((".xml", ".rels"))]
        self.elements = [element for tree in trees for element in tree.iter()]
        self.tags = Counter(each.tag for each in self.elements)
        self.text = "".join(element.text or "" for element in self.elements)

    def of(self, tag: str) -> list[str]:
        """The texts of all elements of this name."""
        return [each.text or "" for each in self.elements if each.tag.rpartition("}")[2] == tag]

    @property
    def links(self) -> list[str]:
        """What is referred to outside."""
        return [each.attrib["Target"] for each in self.elements if each.attrib.get("TargetMode") == "External"]


HARMLESS = {name: Archive(name, hostile("words")) for name in ("xlsx",)}


def plain(text: str) -> str:
    """What of a text is letters of ASCII, which nothing escapes."""
    return "".join(re.findall(r"[\w ]+", text, re.ASCII))


@pytest.mark.parametrize("text", EVIL)
def test_a_workbook_holds_hostile_words_as_words(text: str) -> None:
    book = Archive("xlsx", hostile(text))
    assert book.parts.keys() == HARMLESS["xlsx"].parts.keys()
    assert book.of("f") == HARMLESS["xlsx"].of("f")
    assert book.tags == HARMLESS["xlsx"].tags
    assert book.links == []
    assert plain(text) in plain(book.text)


def test_words_that_look_like_formulas_and_links_are_strings_of_a_workbook() -> None:
    book = Archive("xlsx", hostile('=HYPERLINK("https://evil.example")'))
    assert '=HYPERLINK("https://evil.example") The large press' in book.of("t")
    assert not [each for each in book.of("f") if "HYPERLINK" in each]


@pytest.mark.parametrize("name", ["xlsx"])
def test_long_words_are_written_whole(name: str) -> None:
    assert LONG in "".join(Archive(name, hostile(f"{'👩' * 15_000}{LONG}")).text.split("\n"))


@pytest.mark.parametrize("name", ["xlsx"])
def test_the_same_record_is_the_same_file(name: str) -> None:
    assert FORMATS[name].write(GOOD) == FORMATS[name].write(json.loads(json.dumps(GOOD)))


@pytest.mark.parametrize(("name", "package"), [("xlsx", "xlsxwriter")])
def test_without_the_extra_it_says_what_to_install(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(Permanent, match=rf"{package} is missing: pip install 'assistant-worker\[report\]'"):
        FORMATS[name].write(GOOD)


def test_nothing_that_writes_files_is_imported_before_it_is_wanted() -> None:
    program = "import sys, worker.bootstrap, worker.web, worker.decisions; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    assert "worker.decisions.as_xlsx" in loaded
    assert not {"xlsxwriter", "docx", "lxml", "typst"} & loaded
