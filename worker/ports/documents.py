"""What reads documents that others wrote."""

from typing import Protocol

from worker.domain.documents import Form, Page


class Documents(Protocol):
    """Reads documents, each within bounds of time, memory and pages."""

    async def read(self, content: bytes, form: Form, most: int, encoding: str | None = None) -> tuple[Page, ...] | None:
        """Return a document's pages in their order; None if their text has more than `most` bytes.

        `encoding` is what somebody says of HTML. Raises BadInput, which says why it cannot be read and what to do.
        """
        ...
