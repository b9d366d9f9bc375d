"""The files of assistants: read once, cut at paragraphs, found by words."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import papers
from tests.fakes.documents import FakeDocuments
from worker.documents import DocumentReader
from worker.documents.shelf import MOST_TEXT, PASSAGE, FileShelf, fts5_query, passages
from worker.domain.documents import AssistantFile, Page, digest
from worker.errors import BadDefinition


class Shelves:
    """A shelf, and files on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.documents = FakeDocuments()
        self.wanted: set[str] = set()
        self.shelf = FileShelf(self.documents, lambda: self.wanted)

    def put(self, name: str, content: bytes | str) -> AssistantFile:
        content = content.encode() if isinstance(content, str) else content
        (self.folder / name).write_bytes(content)
        file = AssistantFile(name, digest(content), self.folder / name)
        self.wanted.add(file.sha256)
        return file

    async def found(self, asked: str, *files: AssistantFile, most: int = 9) -> list[str]:
        return [each.text for each in await self.shelf.find(files, asked, most)]


@pytest.fixture
def shelves(tmp_path: Path) -> Iterator[Shelves]:
    made = Shelves(tmp_path)
    yield made
    made.shelf.close()


async def test_passages_come_by_how_much_they_say_to_the_question(shelves: Shelves) -> None:
    text = "\n\n".join(
        [
            "Chargers cost nine." + " x" * 700,
            "A charger of the fast kind costs ten." + " x" * 700,
            "Buses." + " x" * 700,
        ]
    )
    file = shelves.put("prices.md", text)
    found = await shelves.found("What does a fast charger cost?", file)
    assert [each.split(".")[0] for each in found] == ["A charger of the fast kind costs ten", "Chargers cost nine"]
    assert len(await shelves.found("What does a fast charger cost?", file, most=1)) == 1


@pytest.mark.parametrize("asked", ["", "  ?! ", "a", '" OR * NEAR( ^', "unrelated"])
async def test_where_no_word_is_in_any_file_nothing_is_found(shelves: Shelves, asked: str) -> None:
    assert await shelves.found(asked, shelves.put("prices.md", "Chargers cost nine.")) == []


@pytest.mark.parametrize(
    ("asked", "text"), [("prices", "the price"), ("Häuser", "ein haus"), ("ZUERICH", "zuerich"), ("cafe", "Café")]
)
def test_endings_case_and_accents_do_not_matter_much(asked: str, text: str, shelves: Shelves) -> None:
    assert asyncio.run(shelves.found(asked, shelves.put("a.txt", text))) == [text]


async def test_only_the_named_files_are_looked_into(shelves: Shelves) -> None:
    one, other = shelves.put("one.md", "Chargers here."), shelves.put("other.md", "Chargers there.")
    await shelves.found("chargers", one, other)
    assert await shelves.found("chargers", other) == ["Chargers there."]


async def test_a_document_is_read_once_by_whoever_comes_first_and_each_page_is_named(shelves: Shelves) -> None:
    file = shelves.put("offer.pdf", b"%PDF-1.7 offer")
    shelves.documents.pages[b"%PDF-1.7 offer"] = (Page("page 1 of 2", "Chargers."), Page("page 2 of 2", "Buses."))
    found = await asyncio.gather(*(shelves.shelf.find([file], "buses and chargers", 9) for _ in range(5)))
    assert {each.mark for each in found[0]} == {"page 1 of 2", "page 2 of 2"}
    assert len(shelves.documents.read_as) == 1


async def test_the_same_bytes_under_two_names_are_read_once(shelves: Shelves) -> None:
    content = b"%PDF-1.7 offer"
    shelves.documents.pages[content] = (Page("", "Chargers."),)
    await shelves.found("chargers", shelves.put("a.pdf", content), shelves.put("b.pdf", content))
    assert len(shelves.documents.read_as) == 1


async def test_a_file_that_was_changed_is_read_as_it_is_by_now(shelves: Shelves) -> None:
    """The spec says what its bytes were when it was read; the next reading of the spec comes seconds later."""
    old = shelves.put("prices.md", "Chargers cost nine.")
    new = shelves.put("prices.md", "Chargers cost ten.")
    [found] = await shelves.shelf.find([old], "chargers", 9)
    assert (found.text, found.file.sha256) == ("Chargers cost ten.", new.sha256)


async def test_what_no_assistant_wants_any_more_is_forgotten(shelves: Shelves) -> None:
    old = shelves.put("prices.md", "Chargers cost nine.")
    await shelves.found("chargers", old)
    shelves.wanted.clear()
    new = shelves.put("prices.md", "Chargers cost ten.")
    await shelves.found("chargers", new)
    assert shelves.shelf._index.files == {new.sha256}
    assert await shelves.found("chargers", old) == ["Chargers cost ten."], "it is looked for again where it was"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"%PDF-1.7 broken", "cannot be read and may be damaged"),
        (b"\xd0\xcf\x11\xe0", "is of an older Office or has a password"),
        (b"\x89PNG\r\n\x1a\n", "is a picture"),
        (b"\0\1\2", "is no text"),
        (b" \n ", "has no text that can be read"),
        (b"a " * (MOST_TEXT // 2 + 1), "has more than 4,000,000 bytes of text"),
    ],
)
async def test_what_cannot_be_read_says_why_and_which(shelves: Shelves, content: bytes, said: str) -> None:
    with pytest.raises(BadDefinition, match=f"^the file 'a' that the assistant looks things up in {said}"):
        await shelves.found("x", shelves.put("a", content))


async def test_a_file_that_is_gone_says_so(shelves: Shelves) -> None:
    file = shelves.put("a.txt", "x")
    file.path.unlink()
    with pytest.raises(
        BadDefinition, match=r"'a\.txt' that the assistant looks things up in cannot be read: No such file"
    ):
        await shelves.found("x", file)


async def test_a_real_document_is_read_by_a_process_of_its_own(tmp_path: Path) -> None:
    content = papers.pdf("Chargers cost nine", "Buses cost ten")
    (tmp_path / "offer.pdf").write_bytes(content)
    shelf = FileShelf(DocumentReader(), frozenset)
    [found] = await shelf.find([AssistantFile("offer.pdf", digest(content), tmp_path / "offer.pdf")], "buses", 9)
    assert (found.mark, found.text) == ("page 2 of 2", "Buses cost ten")
    shelf.close()


@pytest.mark.parametrize(
    "text",
    [
        "One.\n\nTwo.",
        "x" * (3 * PASSAGE + 1),
        "word " * PASSAGE,
        "\n".join(f"row {number},{number * 7}" for number in range(500)),
        "\n\n\n",
        "",
    ],
)
def test_cutting_loses_no_word_and_no_passage_is_longer_than_one(text: str) -> None:
    cut = list(passages([Page("m", text)]))
    assert "".join("".join(each.split()) for _, each in cut) == "".join(text.split())
    assert all(len(each) <= PASSAGE + 2 and mark == "m" for mark, each in cut)


def test_a_table_is_cut_between_its_rows() -> None:
    rows = [f"row {number},{number * 7}" for number in range(500)]
    cut = [each for _, each in passages([Page("", "\n".join(rows))])]
    assert len(cut) > 1
    assert [row for each in cut for row in each.splitlines()] == rows


def test_words_mean_nothing_to_the_syntax_of_the_search() -> None:
    assert fts5_query('prices NEAR("x of') == '"pric"* OR "near"* OR "of"'
