"""Text of HTML pages, without what nobody sees of them."""

import re
from html.parser import HTMLParser

from worker.documents.bounds import Pages
from worker.domain import foreign

_UNSEEN = frozenset({"script", "style"})
_SECTIONS = {"address", "article", "aside", "body", "footer", "form", "header", "main", "nav", "section", "title"}
_PARAGRAPHS = {"blockquote", "br", "details", "div", "figure", "hr", "p", "pre", "summary"}
_HEADINGS = {f"h{level}" for level in range(1, 7)}
_LISTS = {"dd", "dl", "dt", "fieldset", "legend", "li", "ol", "option", "ul"}
_TABLES = {"caption", "figcaption", "table", "tbody", "tfoot", "thead", "tr"}
_BLOCKS = frozenset(_SECTIONS | _PARAGRAPHS | _HEADINGS | _LISTS | _TABLES)
"""What begins a line of its own, and ends it."""
_CELLS = frozenset({"td", "th"})
_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_HEAD = 1024
"""Bytes in which a page has to say its encoding."""


def read(content: bytes, pages: Pages, encoding: str | None) -> None:
    """Read it, in the encoding that somebody says, else in that which it says itself."""
    said = _CHARSET.search(content[:_HEAD])
    parser = _Text()
    parser.feed(foreign.text(content, encoding or (said[1].decode() if said else None)))
    parser.close()
    pages.begin("")
    for line in parser.lines():
        pages.line(line)


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[str] = []
        self._unseen = False

    def lines(self) -> list[str]:
        """Return what is seen, without blanks at their ends, and without empty lines."""
        lines = (" ".join(line.split()).removesuffix(" |") for line in "".join(self._pieces).split("\0"))
        return [line for line in lines if line]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - of the parser
        self._unseen = tag in _UNSEEN
        if tag in _BLOCKS:
            self._pieces.append("\0")

    def handle_endtag(self, tag: str) -> None:
        self._unseen = False
        if tag in _CELLS:
            self._pieces.append(" | ")
        elif tag in _BLOCKS:
            self._pieces.append("\0")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self._pieces.append(data.replace("\0", ""))
