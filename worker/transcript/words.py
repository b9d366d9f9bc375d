"""Text as databases take it, and the words that a search finds it by: the same on both databases."""

import re
import unicodedata
from collections.abc import Iterator
from itertools import islice
from typing import Any

LONGEST_WORD = 100
"""Characters of a word that count; PostgreSQL indexes none of 2 KB."""
SEARCHABLE = 500_000
SEARCHABLE_BYTES = 400_000
"""Of each text so many characters, and so many bytes of different words, can be found.

PostgreSQL indexes no more than a megabyte for each row, and nobody should wait for the words of a book.
"""
SHORTEST_PREFIX = 3
EXCERPT = 240
OPENING = 160
MOST_INSIDE = 1000
"""Places inside of other words at which a word is met before it is given up."""

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_WORD = re.compile(r"[^\W_]+")


def clean(text: str) -> str:
    """Replace, visibly, what one of the databases refuses: NUL and halves of surrogate pairs."""
    return _UNSTORABLE.sub(lambda found: "␀" if found[0] == "\0" else "\ufffd", text)


def clean_all(value: Any) -> Any:
    """Clean the texts in JSON."""
    match value:
        case str():
            return clean(value)
        case dict():
            return {clean(str(name)): clean_all(each) for name, each in value.items()}
        case list() | tuple():
            return [clean_all(each) for each in value]
    return value


def words(text: str) -> str:
    """Each word of a text once, folded, parted by blanks."""
    return " ".join(_within(SEARCHABLE_BYTES, dict.fromkeys(_words(text[:SEARCHABLE]))))


def _words(text: str) -> Iterator[str]:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return (found[0][:LONGEST_WORD] for found in _WORD.finditer(clean(folded)))


def _within(limit: int, each: dict[str, None]) -> Iterator[str]:
    for word in each:
        limit -= len(word.encode()) + 1
        if limit < 0:
            return
        yield word


def fts5_query(text: str) -> str:
    """Ask SQLite for all words of a text; "" if it has none. Quoted, no word means anything to the query syntax."""
    return " ".join(f'"{word}"{"*" * _is_prefix(word)}' for word in _asked(text))


def ts_query(text: str) -> str:
    """Ask PostgreSQL for all words of a text; "" if it has none. Words hold letters and digits only."""
    return " & ".join(f"'{word}'{':*' * _is_prefix(word)}" for word in _asked(text))


def _asked(text: str) -> list[str]:
    # Whoever pastes a page into the search means its beginning; each word more is one more look into the index.
    return list(islice(dict.fromkeys(_words(text)), 20))


def _is_prefix(word: str) -> bool:
    return len(word) >= SHORTEST_PREFIX


def opening(content: str) -> str:
    """Return the first line of a text that says something, without the marks of a heading, cut where it is long."""
    lines = (" ".join(line.lstrip("#>*- \t").split()) for line in content.splitlines())
    first = next(filter(None, lines), "")
    return first if len(first) <= OPENING else f"{first[:OPENING]} …"


def excerpt(content: str, text: str) -> str:
    """Cut out the place of the first word that a search for the text found, in one line.

    It is looked for in what of the content is SEARCHABLE.
    """
    start = max(0, _place(content[:SEARCHABLE].lower(), _asked(text)) - EXCERPT // 4)
    cut = " ".join(content[start : start + EXCERPT].split())
    return ("… " if start else "") + cut + (" …" if start + EXCERPT < len(content) else "")


def _place(lowered: str, wanted: list[str]) -> int:
    """Where the first of the words begins that is soon found; 0 if none is."""
    first = len(lowered)
    for word in wanted:
        first = _begin(lowered, word, first)
    return first if first < len(lowered) else 0


def _begin(lowered: str, word: str, before: int) -> int:
    at = -1
    for _ in range(MOST_INSIDE):
        # Only what begins before the place that another word was found at.
        at = lowered.find(word, at + 1, before + len(word) - 1)
        if at < 0:
            break
        if at == 0 or not lowered[at - 1].isalnum():
            return at
    return before
