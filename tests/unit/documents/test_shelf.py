"""The files of assistants: read once, cut at paragraphs, found by words."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import papers
from tests.fakes.documents import FakeDocuments
from worker.documents import DocumentReader, shelf
from worker.documents.shelf import MOST_INDEXES, MOST_TEXT, PASSAGE, FileShelf, fts5_query, passages
from worker.domain.documents import AssistantFile, Page, digest
from worker.domain.threads import size
from worker.errors import BadDefinition, FileChanging

PDF = b"%PDF-1.7 offer"


class Shelves:
    """A shelf, and files on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.documents = FakeDocuments()
        self.shelf = FileShelf(self.documents)

    def put(self, name: str, content: bytes | str) -> AssistantFile:
        content = content.encode() if isinstance(content, str) else content
        (self.folder / name).write_bytes(content)
        return AssistantFile(name, digest(content), self.folder / name)

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
    ("asked", "text"),
    [
        ("prices", "the price"),
        ("fees", "a fee"),
        ("Häuser", "ein haus"),
        ("Säulen", "Schnellladesäule"),
        ("STRASSE", "Große Straße"),
        ("Straße", "STRASSE"),
        ("cafe", "Café"),
        ("office", "o\ufb03ce"),
        ("कीमत क्या है", "चार्जर की कीमत नौ है"),
        ("充电器多少钱", "这个充电器的价格是九"),
        ("가격은", "충전기 가격은 아홉"),
    ],
)
async def test_endings_case_accents_and_spelling_do_not_matter_much(asked: str, text: str, shelves: Shelves) -> None:
    assert await shelves.found(asked, shelves.put("a.txt", text)) == [text]


async def test_words_are_the_longest_of_a_question_however_many_it_has(shelves: Shelves) -> None:
    file = shelves.put("a.txt", "Of wallboxes.")
    assert await shelves.found(" ".join(f"w{number:03}" for number in range(500)) + " wallboxes", file) == [
        "Of wallboxes."
    ]


async def test_only_the_named_files_are_looked_into(shelves: Shelves) -> None:
    one, other = shelves.put("one.md", "Chargers here."), shelves.put("other.md", "Chargers there.")
    assert sorted(await shelves.found("chargers", one, other)) == ["Chargers here.", "Chargers there."]
    assert await shelves.found("chargers", other) == ["Chargers there."]


async def test_what_is_found_depends_on_nothing_but_the_assistants_own_files(shelves: Shelves) -> None:
    files = [shelves.put(f"{number}.md", f"Charger {number}.") for number in range(9)]
    before = await shelves.found("charger", *files)
    await shelves.found("charger", shelves.put("other.md", "charger " * 1000))
    assert await shelves.found("charger", *files) == before == [f"Charger {number}." for number in range(9)]


async def test_a_document_is_read_once_by_whoever_comes_first_and_each_page_is_named(shelves: Shelves) -> None:
    file = shelves.put("offer.pdf", PDF)
    shelves.documents.pages[PDF] = (Page("page 1 of 2", "Chargers."), Page("page 2 of 2", "Buses."))
    found = await asyncio.gather(*(shelves.shelf.find([file], "buses and chargers", 9) for _ in range(5)))
    assert {(each.file.name, each.mark) for each in found[0]} == {
        ("offer.pdf", "page 1 of 2"),
        ("offer.pdf", "page 2 of 2"),
    }
    assert len(shelves.documents.read_as) == 1


async def test_whoever_gives_up_takes_nothing_from_the_others(shelves: Shelves) -> None:
    file = shelves.put("offer.pdf", PDF)
    shelves.documents.pages[PDF] = (Page("", "Chargers."),)
    shelves.documents.seconds = 0.05
    first = asyncio.create_task(shelves.found("chargers", file))
    second = asyncio.create_task(shelves.found("chargers", file))
    while not shelves.documents.read_as:  # noqa: ASYNC110 - a thread reads the file before
        await asyncio.sleep(0)
    first.cancel()
    assert await second == ["Chargers."]
    assert len(shelves.documents.read_as) == 1


async def test_a_file_that_is_another_one_than_the_spec_was_read_with_is_waited_for(shelves: Shelves) -> None:
    old = shelves.put("prices.md", "Chargers cost nine.")
    new = shelves.put("prices.md", "Chargers cost ten.")
    with pytest.raises(FileChanging, match=r"the file 'prices\.md' has changed"):
        await shelves.found("chargers", old)
    assert await shelves.found("chargers", new) == ["Chargers cost ten."]


async def test_files_that_were_read_go_on_until_their_spec_is_read_anew(shelves: Shelves) -> None:
    files = [shelves.put("a.md", "Chargers cost nine."), shelves.put("b.md", "Buses cost ten.")]
    await shelves.found("cost", *files)
    shelves.put("a.md", "gone"), shelves.put("b.md", "gone")
    assert len(await shelves.found("cost", *files)) == 2


async def test_the_latest_assistants_keep_their_index(shelves: Shelves) -> None:
    shelves.documents.pages[PDF] = (Page("", "Chargers."),)
    files = [shelves.put(f"{number}.pdf", PDF) for number in range(MOST_INDEXES + 1)]
    for each in files:
        await shelves.found("chargers", each)
    await shelves.found("chargers", files[-1])
    assert len(shelves.documents.read_as) == MOST_INDEXES + 1
    assert await shelves.found("chargers", files[0]) == ["Chargers."]
    assert len(shelves.documents.read_as) == MOST_INDEXES + 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"%PDF-1.7 broken", "cannot be read and may be damaged"),
        (b"\xd0\xcf\x11\xe0", "is of an older Office or has a password"),
        (b"\x89PNG\r\n\x1a\n", "is a picture"),
        (b"\0\1\2", "is no text"),
        ("Ladegerät".encode("cp1252"), "is no UTF-8 text"),
        (b" \n ", "has no text that can be read"),
        (b"a " * (MOST_TEXT // 2 + 1), "makes more than 2,000,000 bytes of text"),
    ],
)
async def test_what_cannot_be_read_says_why_and_which(shelves: Shelves, content: bytes, said: str) -> None:
    with pytest.raises(BadDefinition, match=f"^the file 'a' that the assistant looks things up in {said}"):
        await shelves.found("x", shelves.put("a", content))


async def test_all_files_together_have_a_bound(shelves: Shelves) -> None:
    half = "a " * (MOST_TEXT // 4 + 1)
    with pytest.raises(BadDefinition, match=r"'b\.txt' .* with those named before it"):
        await shelves.found("x", shelves.put("a.txt", half), shelves.put("b.txt", half))


async def test_one_that_cannot_be_read_is_read_again_after_a_while(
    shelves: Shelves, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = shelves.put("offer.pdf", PDF)
    for _ in range(3):
        with pytest.raises(BadDefinition):
            await shelves.found("chargers", file)
    assert len(shelves.documents.read_as) == 1
    shelves.documents.pages[PDF] = (Page("", "Chargers."),)
    monkeypatch.setattr(shelf, "FAILED_SECONDS", -1.0)
    assert await shelves.found("chargers", file) == ["Chargers."]


async def test_a_file_that_is_gone_or_none_any_more_says_so(shelves: Shelves) -> None:
    file = shelves.put("a.txt", "x")
    file.path.unlink()
    with pytest.raises(BadDefinition, match=r"'a\.txt' that .* cannot be read: No such file"):
        await shelves.found("x", file)
    os.mkfifo(file.path)
    with pytest.raises(BadDefinition, match="cannot be read: it is no file"):
        await FileShelf(shelves.documents).find([file], "x", 9)


async def test_utf_16_is_read_by_its_mark(shelves: Shelves) -> None:
    assert await shelves.found("ladegerät", shelves.put("a.csv", "Ladegerät;9".encode("utf-16"))) == ["Ladegerät;9"]


async def test_a_real_document_is_read_by_a_process_of_its_own(tmp_path: Path) -> None:
    content = papers.pdf("Chargers cost nine", "Buses cost ten")
    (tmp_path / "offer.pdf").write_bytes(content)
    real = FileShelf(DocumentReader())
    [found] = await real.find([AssistantFile("offer.pdf", digest(content), tmp_path / "offer.pdf")], "buses", 9)
    assert (found.mark, found.text) == ("page 2 of 2", "Buses cost ten")
    real.close()


@pytest.mark.parametrize(
    "text",
    [
        "One.\n\nTwo.",
        "x" * (3 * PASSAGE + 1),
        "充" * PASSAGE,
        "word " * PASSAGE,
        "\n".join(f"row {number},{number * 7}" for number in range(500)),
        "\n\n".join("ab" for _ in range(5000)),
        "\n\n\n",
        "",
    ],
)
def test_cutting_loses_no_word_and_no_passage_is_longer_than_one(text: str) -> None:
    cut = list(passages([Page("m", text)]))
    assert "".join("".join(each.split()) for _, each in cut) == "".join(text.split())
    parted = max((each.count("\n\n") for _, each in cut), default=0)
    assert all(size(each) <= PASSAGE + 2 * parted and mark == "m" for mark, each in cut)


def test_a_table_is_cut_between_its_rows() -> None:
    rows = [f"row {number},{number * 7}" for number in range(500)]
    cut = [each for _, each in passages([Page("", "\n".join(rows))])]
    assert len(cut) > 1
    assert [row for each in cut for row in each.splitlines()] == rows


def test_words_mean_nothing_to_the_syntax_of_the_search() -> None:
    assert fts5_query('prices NEAR("x of') == '"pric" OR "nea"'
