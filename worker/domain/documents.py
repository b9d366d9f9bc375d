"""Documents: files of which an assistant reads more than a plain text. Pure."""

import hashlib
from dataclasses import dataclass
from typing import Final, Literal

LARGEST: Final = 20_000_000
"""Bytes of one document."""
Form = Literal["pdf", "office", "html"]
"""What a document is read as. The newer Office's are all ZIP archives; what is in them tells which."""

HTML: Final = frozenset({"text/html", "application/xhtml+xml"})
OLDER: Final = b"\xd0\xcf\x11\xe0"
"""How files of the older Office begin, and those of the newer one that have a password."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page, a sheet or another part of a document.

    `mark` says which, such as `page 3 of 7`, and is empty for the body of one that has no pages. What stands in a mark
    may be the document's own words. `text` is empty where nothing can be read.
    """

    mark: str
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """What was read of a file. `name` and `type` are whoever's who has handed it over; `sha256` is of its bytes."""

    name: str
    type: str
    sha256: str
    pages: tuple[Page, ...]


def form_of(content: bytes, type_: str) -> Form | None:
    """Say what a file is read as, None where it is no document.

    By its first bytes: its type is chosen by whoever uploads it, and often is the form's usual one.
    """
    if content.startswith(b"%PDF-"):
        return "pdf"
    if content.startswith(b"PK\x03\x04"):
        return "office"
    return "html" if type_.partition(";")[0].strip().lower() in HTML else None


def digest(content: bytes) -> str:
    """Name the bytes, in 64 hex digits."""
    return hashlib.sha256(content).hexdigest()
