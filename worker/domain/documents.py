"""Documents: files of which an assistant reads more than a plain text. Pure."""

import base64
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

LARGEST: Final = 20_000_000
"""Bytes of one document."""
MOST_PASSAGES: Final = 6
"""Of an assistant's files, that one question is shown."""
LARGEST_ATTACHED: Final = 5_000_000
"""Bytes of all that goes along with one question: some providers send it again with every list of what was said."""
TOKENS_OF_A_PICTURE: Final = 2000
"""What a picture is taken for, and a page of a PDF that goes along as it is. Most models count less."""
Form = Literal["pdf", "pages", "office", "html"]
"""What a document is read as: `pages` is a PDF of which nothing but its pages matters. The newer Office's are all ZIP
archives; what is in them tells which.
"""
Kind = Literal["images", "pdf"]
"""What some providers take as it is."""

HTML: Final = frozenset({"text/html", "application/xhtml+xml"})
_IMAGES: Final = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
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
    """What was read of a file. `name` and `type` are whoever's who has handed it over; `sha256` is of its bytes.

    One that goes along with the question as it is, `attached`, has no pages here.
    """

    name: str
    type: str
    sha256: str
    pages: tuple[Page, ...] = ()
    attached: "Attachment | None" = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes along with a question as it is. `type` is what its bytes say, `tokens` what it is taken for."""

    name: str
    type: str
    content: bytes = field(repr=False)
    tokens: int = TOKENS_OF_A_PICTURE

    @property
    def is_image(self) -> bool:
        """Whether it is a picture."""
        return self.type.startswith("image/")

    @property
    def data_url(self) -> str:
        """Its bytes as providers take them."""
        return f"data:{self.type};base64,{base64.b64encode(self.content).decode()}"


@dataclass(frozen=True, slots=True)
class AssistantFile:
    """A file beside an assistant's spec, in which it looks things up. `sha256` is of its bytes as the spec was read.

    It is empty where nobody needs it.
    """

    name: str
    sha256: str
    path: Path = field(compare=False)


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of an assistant's file that says something to a question. `mark` as in `Page`."""

    file: AssistantFile
    mark: str
    text: str


def form_of(content: bytes, type_: str) -> Form | None:
    """Say what a file is read as, None where it is no document.

    By its first bytes: its type is chosen by whoever uploads it, and often is the form's usual one.
    """
    if content.startswith(b"%PDF-"):
        return "pdf"
    if content.startswith(b"PK\x03\x04"):
        return "office"
    return "html" if type_.partition(";")[0].strip().lower() in HTML else None


def image_type(content: bytes) -> str | None:
    """Say what kind of picture this is, of those that models see; None if it is none."""
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "image/webp"
    return next((type_ for beginning, type_ in _IMAGES.items() if content.startswith(beginning)), None)


def digest(content: bytes) -> str:
    """Name the bytes, in 64 hex digits."""
    return hashlib.sha256(content).hexdigest()
