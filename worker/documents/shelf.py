"""The files of assistants: cut into passages, and found by the words in them.

In SQLite's memory, for as long as the worker runs: what is known of files is found in them again at any time, so that
nothing has to be kept, or erased. The files of one assistant have an index of their own, so that what it is shown
depends on nothing but them.
"""

import asyncio
import re
import sqlite3
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

from worker.domain.documents import LARGEST, OLDER, AssistantFile, Page, Passage, digest, form_of, image_type
from worker.domain.threads import size
from worker.errors import BadDefinition, BadInput, FileChanging, WorkerError
from worker.ports.documents import Documents
from worker.runtime import plain_file
from worker.runtime.clock import monotonic

MOST_TEXT: Final = 2_000_000
"""Bytes of text in all files of an assistant; in an index they take four times as many."""
MOST_INDEXES: Final = 8
"""Of assistants; what is looked into after that takes the place of what was longest not."""
FAILED_SECONDS: Final = 30.0
"""So long files that could not be read are not read again."""
PASSAGE: Final = 1500
"""Bytes of a passage: a few paragraphs, so that what stands beside a word is there as well."""
MOST_WORDS: Final = 40
"""Words of a question that are looked for, the longest ones: those that say most."""
LONGEST_ASKED: Final = 20_000
"""Characters of a question in which they are looked for."""
SHORTEST: Final = 3
"""Characters of what can be found at all; the index knows a text by what stands in a row so long."""
ENDING: Final = 2
"""Letters at a word's end that may differ, as those of a plural do."""

_PARAGRAPHS: Final = re.compile(r"\n\s*\n")
_ACCENTS: Final = re.compile("[\u0300-\u036f]+")
_TABLE: Final = (
    "CREATE VIRTUAL TABLE passages USING fts5"
    "(folded, file UNINDEXED, mark UNINDEXED, text UNINDEXED, tokenize = 'trigram case_sensitive 1')"
)
_FIND: Final = "SELECT file, mark, text FROM passages WHERE passages MATCH ? ORDER BY bm25(passages), rowid LIMIT ?"

P = ParamSpec("P")
T = TypeVar("T")
Found = list[tuple[int, str, str]]


class FileShelf:
    """Implements `ports.documents.Shelf`.

    What takes long happens in a thread of its own, for one assistant after the other: turns without files wait for none
    of it.
    """

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="shelf")
        self._indexes: OrderedDict[tuple[AssistantFile, ...], asyncio.Task[Index]] = OrderedDict()
        self._failed_at: dict[tuple[AssistantFile, ...], float] = {}

    async def find(self, files: Sequence[AssistantFile], asked: str, most: int) -> list[Passage]:
        """See `ports.documents.Shelf.find`."""
        index = await self._index(tuple(files))
        found = await self._beside(index.find, asked, most)
        return [Passage(files[number], mark, text) for number, mark, text in found]

    async def content(self, file: AssistantFile) -> bytes:
        """See `ports.documents.Shelf.content`."""
        return await self._beside(_content, file)

    def close(self) -> None:
        """Forget everything."""
        for each in self._indexes.values():
            each.cancel()
        self._indexes.clear()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _index(self, files: tuple[AssistantFile, ...]) -> "Index":
        """Return the index of these files; of many that want it at once, one makes it, whoever gives up meanwhile."""
        if monotonic() - self._failed_at.get(files, float("-inf")) > FAILED_SECONDS:
            self._failed_at.pop(files, None)
            if (made := self._indexes.get(files)) is not None and made.done() and not _is_well(made):
                del self._indexes[files]
        if files not in self._indexes:
            self._indexes[files] = asyncio.create_task(self._made(files), name="index of files")
            while len(self._indexes) > MOST_INDEXES:
                _, oldest = self._indexes.popitem(last=False)
                oldest.add_done_callback(lambda task: None if task.cancelled() else task.exception())
        self._indexes.move_to_end(files)
        try:
            return await asyncio.shield(self._indexes[files])
        except WorkerError:
            self._failed_at.setdefault(files, monotonic())
            raise

    async def _made(self, files: Sequence[AssistantFile]) -> "Index":
        read: list[Sequence[Page]] = []
        room = MOST_TEXT
        for file in files:
            content = await self._beside(_content, file)
            pages = await self._pages(file, content, room)
            room -= sum(size(page.text) for page in pages)
            read.append(pages)
        return await self._beside(Index, read)

    async def _pages(self, file: AssistantFile, content: bytes, room: int) -> Sequence[Page]:
        form = form_of(content, "text/html" if file.path.suffix.lower() in {".html", ".htm"} else "")
        if content.startswith(OLDER):
            raise _bad(file, "is of an older Office or has a password: save it as DOCX, XLSX or PDF")
        if image_type(content) is not None:
            raise _bad(file, "is a picture, in which no words are found: put what it shows there as a text")
        if form is None:
            pages: Sequence[Page] | None = await self._beside(_plain, file, content) if len(content) <= room else None
        else:
            try:
                pages = await self._documents.read(content, form, room)
            except BadInput as exc:
                raise _bad(file, str(exc)) from exc
        if pages is None:
            raise _bad(file, f"makes more than {MOST_TEXT:,} bytes of text, with those named before it: leave some out")
        if not any(page.text and not page.text.isspace() for page in pages):
            raise _bad(file, "has no text that can be read, as a scan has none: put a copy with text there")
        return pages

    async def _beside(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(work, *args, **kwargs))


class Index:
    """Passages of some files by their words. Not for the loop, and for one thread."""

    def __init__(self, files: Sequence[Sequence[Page]]) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._connection.execute(_TABLE)
        rows = (
            (folded(text), number, mark, text) for number, pages in enumerate(files) for mark, text in passages(pages)
        )
        self._connection.execute("BEGIN")
        self._connection.executemany("INSERT INTO passages (folded, file, mark, text) VALUES (?, ?, ?, ?)", rows)
        self._connection.execute("COMMIT")

    def find(self, asked: str, most: int) -> Found:
        """Return the passages that say most: the number of their file, their mark and text, the best first."""
        query = fts5_query(asked)
        return self._connection.execute(_FIND, (query, most)).fetchall() if query else []


def folded(text: str) -> str:
    """Write a text so that spelling, case and accents do not matter: `Straße` as `strasse`, `Café` as `cafe`."""
    return _ACCENTS.sub("", unicodedata.normalize("NFKD", text).casefold())


def fts5_query(asked: str) -> str:
    """Ask SQLite for any word of a question; "" if it has none. Quoted, no word means anything to its syntax.

    Of writing without blanks, as Chinese, each three signs in a row are one.
    """
    found = dict.fromkeys(part for word in _words(folded(asked[:LONGEST_ASKED])) for part in _parts_of(word))
    longest = sorted((each for each in found if len(each) >= SHORTEST), key=len, reverse=True)
    return " OR ".join(f'"{each[: max(SHORTEST, len(each) - ENDING)]}"' for each in longest[:MOST_WORDS])


def _words(text: str) -> list[str]:
    # Marks are parts of words in many scripts, and none to Python's \w.
    return "".join(each if unicodedata.category(each)[0] in "LNM" else " " for each in text).split()


def _parts_of(word: str) -> Iterator[str]:
    if any("\u2e80" <= each <= "\ud7ff" or each >= "\U00020000" for each in word):
        yield from (word[at : at + SHORTEST] for at in range(max(1, len(word) - SHORTEST + 1)))
    else:
        yield word


def passages(pages: Sequence[Page]) -> Iterator[tuple[str, str]]:
    """Cut pages at their paragraphs, and those where they are longer than a passage; as pairs of mark and text."""
    for page in pages:
        held: list[str] = []
        room = longest = _characters(page.text)
        for part in _parts(page.text, longest):
            if held and len(part) > room:
                yield page.mark, "\n\n".join(held)
                held, room = [], longest
            held.append(part)
            room -= len(part)
        if held:
            yield page.mark, "\n\n".join(held)


def _characters(text: str) -> int:
    """How many of a text's characters make the bytes of a passage."""
    return PASSAGE * max(1, len(text)) // max(1, size(text))


def _parts(text: str, longest: int) -> Iterator[str]:
    for paragraph in _PARAGRAPHS.split(text):
        rest, at = paragraph.strip(), 0
        while len(rest) - at > longest:
            # At the end of a line, or else of a word: a table has a line for each row.
            ends = (rest.rfind(sign, at + 1, at + longest) for sign in "\n ")
            cut = next((each for each in ends if each > 0), at + longest)
            yield rest[at:cut].strip()
            at = cut
        if last := rest[at:].strip():
            yield last


def _content(file: AssistantFile) -> bytes:
    try:
        content = plain_file.read(file.path, LARGEST)
    except OSError as exc:
        raise _bad(file, f"cannot be read: {exc.strerror}") from exc
    if digest(content) != file.sha256:
        raise FileChanging(
            f"the file {file.name!r} has changed, and its assistant's spec is read again when it stays as it is"
        )
    return content


def _plain(file: AssistantFile, content: bytes) -> list[Page]:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = content.decode("utf-16", errors="replace")
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as exc:
            raise _bad(file, "is no UTF-8 text, and no PDF, DOCX, XLSX or HTML: save it as one of these") from exc
    if "\0" in text:
        raise _bad(file, "is no text, and no PDF, DOCX, XLSX or HTML: save it as one of these")
    return [Page("", text)]


def _is_well(made: asyncio.Task[Index]) -> bool:
    return not made.cancelled() and made.exception() is None


def _bad(file: AssistantFile, why: str) -> BadDefinition:
    return BadDefinition(f"the file {file.name!r} that the assistant looks things up in {why}")
