"""The files of assistants: cut into passages, and found by the words in them.

In SQLite, for as long as the worker runs: what is known of a file is found in it again at any time, so that nothing has
to be kept, or erased.
"""

import asyncio
import json
import mimetypes
import re
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from worker.domain import foreign
from worker.domain.documents import LARGEST, OLDER, AssistantFile, Page, Passage, digest, form_of, image_type
from worker.errors import BadDefinition, BadInput
from worker.ports.documents import Documents
from worker.runtime.beside import beside

MOST_TEXT: Final = 4_000_000
"""Bytes of one file's text."""
PASSAGE: Final = 1500
"""Characters of a passage: a few paragraphs, so that what stands beside a word is there as well."""
MOST_WORDS: Final = 200
"""Words of a question that are looked for, the first ones: what is asked stands before its inputs."""
LONGEST_ASKED: Final = 20_000
"""Characters of a question in which they are looked for."""
SHORTEST: Final = 2
ENDING: Final = 2
"""Letters at a word's end that may differ, as those of a plural do, where at least STEM remain."""
STEM: Final = 4

_WORD: Final = re.compile(r"[^\W_]+")
_PARAGRAPHS: Final = re.compile(r"\n\s*\n")
_TABLE: Final = (
    "CREATE VIRTUAL TABLE passages USING fts5(text, mark UNINDEXED, sha256 UNINDEXED, "
    'tokenize = "unicode61 remove_diacritics 2")'
)
_FIND: Final = (
    "SELECT sha256, mark, text FROM passages WHERE passages MATCH ? AND sha256 IN (SELECT value FROM json_each(?)) "
    "ORDER BY bm25(passages), rowid LIMIT ?"
)


class FileShelf:
    """Implements `ports.documents.Shelf`. `wanted` are the digests of files that assistants have by now."""

    def __init__(self, documents: Documents, wanted: Callable[[], Collection[str]]) -> None:
        self._documents = documents
        self._wanted = wanted
        self._index = Index()
        self._reading = asyncio.Lock()

    async def find(self, files: Sequence[AssistantFile], asked: str, most: int) -> list[Passage]:
        """See `ports.documents.Shelf.find`."""
        known = {each.sha256: each for each in [await self._known(file) for file in files]}
        query = fts5_query(asked)
        if not query or not known:
            return []
        found = await beside(self._index.find, query, list(known), most)
        return [Passage(known[sha256], mark, text) for sha256, mark, text in found]

    def close(self) -> None:
        """Forget everything."""
        self._index.close()

    async def _known(self, file: AssistantFile) -> AssistantFile:
        """Have a file in the index; returns it as it is by now."""
        if file.sha256 in self._index.files:
            return file
        async with self._reading:  # of many that want it at once, one reads it
            if file.sha256 in self._index.files:
                return file
            content = await beside(_content, file)
            file = replace(file, sha256=await beside(digest, content))
            if file.sha256 not in self._index.files:
                pages = await self._pages(file, content)
                await beside(self._index.take, file.sha256, list(passages(pages)), {*self._wanted(), file.sha256})
        return file

    async def _pages(self, file: AssistantFile, content: bytes) -> Sequence[Page]:
        type_, encoding = mimetypes.guess_type(file.name)
        form = form_of(content, type_ or "")
        if content.startswith(OLDER):
            raise _bad(file, "is of an older Office or has a password: save it as DOCX, XLSX or PDF")
        if image_type(content) is not None:
            raise _bad(file, "is a picture, in which no words are found: put what it shows there as a text")
        if form is None:
            text = await beside(foreign.text, content, encoding)
            if "\0" in text:
                raise _bad(file, "is no text, and no PDF, DOCX, XLSX or HTML: save it as one of these")
            pages: Sequence[Page] | None = [Page("", text)] if len(content) <= MOST_TEXT else None
        else:
            try:
                pages = await self._documents.read(content, form, MOST_TEXT)
            except BadInput as exc:
                raise _bad(file, str(exc)) from exc
        if pages is None:
            raise _bad(file, f"has more than {MOST_TEXT:,} bytes of text: part it into files")
        if not any(page.text.strip() for page in pages):
            raise _bad(file, "has no text that can be read, as a scan has none: put a copy with text there")
        return pages


class Index:
    """Passages by their words, in a file that SQLite makes for itself and nobody else can open. Not for the loop."""

    def __init__(self) -> None:
        self.files: frozenset[str] = frozenset()
        self._one_at_a_time = threading.Lock()
        # Without a name it is in memory as far as there is room, and else on disk until it is closed.
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._connection.execute(_TABLE)

    def take(self, sha256: str, cut: Sequence[tuple[str, str]], wanted: Collection[str]) -> None:
        """Take a file's passages, pairs of mark and text, and forget files that nobody wants."""
        with self._one_at_a_time:
            self._connection.execute("BEGIN")
            kept = self.files & {*wanted}
            gone = [(each,) for each in {*self.files, sha256} - (kept - {sha256})]
            self._connection.executemany("DELETE FROM passages WHERE sha256 = ?", gone)
            rows = [(text, mark, sha256) for mark, text in cut]
            self._connection.executemany("INSERT INTO passages (text, mark, sha256) VALUES (?, ?, ?)", rows)
            self._connection.execute("COMMIT")
            self.files = kept | {sha256}

    def find(self, query: str, files: Sequence[str], most: int) -> list[tuple[str, str, str]]:
        """Return file, mark and text of the passages that say most, the best first."""
        with self._one_at_a_time:
            return self._connection.execute(_FIND, (query, json.dumps(files), most)).fetchall()

    def close(self) -> None:
        """Forget everything."""
        with self._one_at_a_time:
            self._connection.close()


def fts5_query(asked: str) -> str:
    """Ask SQLite for any word of a question; "" if it has none. Quoted, no word means anything to its syntax."""
    found = (each[0].casefold() for each in _WORD.finditer(asked[:LONGEST_ASKED]))
    words = islice(dict.fromkeys(each for each in found if len(each) >= SHORTEST), MOST_WORDS)
    return " OR ".join(f'"{each[: max(STEM, len(each) - ENDING)]}"{"*" * (len(each) >= STEM)}' for each in words)


def passages(pages: Iterable[Page]) -> Iterator[tuple[str, str]]:
    """Cut pages at their paragraphs, and those where they are longer than a passage; as pairs of mark and text."""
    for page in pages:
        held = ""
        for part in _parts(page.text):
            if held and len(held) + len(part) > PASSAGE:
                yield page.mark, held
                held = ""
            held = f"{held}\n\n{part}" if held else part
        if held:
            yield page.mark, held


def _parts(text: str) -> Iterator[str]:
    for paragraph in _PARAGRAPHS.split(text):
        rest = paragraph.strip()
        while len(rest) > PASSAGE:
            # At the end of a line, or else of a word: a table has a line for each row.
            cut = max(rest.rfind("\n", 0, PASSAGE), 0) or max(rest.rfind(" ", 0, PASSAGE), 0) or PASSAGE
            yield rest[:cut].rstrip()
            rest = rest[cut:].strip()
        if rest:
            yield rest


def _content(file: AssistantFile) -> bytes:
    try:
        with file.path.open("rb") as opened:
            content = opened.read(LARGEST + 1)
    except OSError as exc:
        raise _bad(file, f"cannot be read: {exc.strerror}") from exc
    if len(content) > LARGEST:
        raise _bad(file, f"has more than {LARGEST:,} bytes: part it into files")
    return content


def _bad(file: AssistantFile, why: str) -> BadDefinition:
    return BadDefinition(f"the file {file.name!r} that the assistant looks things up in {why}")
