"""Text of PDFs, page by page, and what was filled into their forms."""

import sys
from io import BytesIO

from worker.documents.bounds import Bounds, Pages, Unread


def read(content: bytes, pages: Pages, bounds: Bounds, *, text: bool) -> None:
    """Read it; without `text` its pages are empty. Raises Unread where it is encrypted or long, or pypdf is missing."""
    try:
        from pypdf import PasswordType, PdfReader  # noqa: PLC0415 - the extra [documents] is not installed everywhere
        from pypdf.errors import LimitReachedError  # noqa: PLC0415 - as above
    except ImportError:
        raise Unread("pypdf") from None
    reader = PdfReader(BytesIO(content))
    # Many are encrypted with no password, to forbid printing.
    if reader.is_encrypted and reader.decrypt("") == PasswordType.NOT_DECRYPTED:
        raise Unread("encrypted")
    try:
        count = len(reader.pages)
    except LimitReachedError:  # it counts no further than 100 000
        count = sys.maxsize
    if count > bounds.pages:
        raise Unread("pages")
    for number, page in enumerate(reader.pages, 1):
        pages.begin(f"page {number} of {count}")
        if text:
            pages.line(page.extract_text().strip())
    fields = {name: each.get("/V") for name, each in (reader.get_fields() or {}).items()} if text else {}
    filled = [f"{name}: {value}" for name, value in fields.items() if value not in (None, "")]
    if filled:
        pages.begin("form")
        pages.line("\n".join(filled))
