"""What reads documents that others wrote."""

from collections.abc import Sequence
from typing import Protocol

from worker.domain.documents import AssistantFile, Form, Page, Passage


class Documents(Protocol):
    """Reads documents, each within bounds of time, memory and pages."""

    async def read(self, content: bytes, form: Form, most: int, encoding: str | None = None) -> tuple[Page, ...] | None:
        """Return a document's pages in their order; None if their text has more than `most` bytes.

        `encoding` is what somebody says of HTML. Raises BadInput, which says why it cannot be read and what to do.
        """
        ...


class Shelf(Protocol):
    """The files of assistants, found by the words that are in them."""

    async def content(self, file: AssistantFile) -> bytes:
        """Return a file's bytes, as its spec was read with. Raises BadDefinition, FileChanging."""
        ...

    async def find(self, files: Sequence[AssistantFile], asked: str, most: int) -> list[Passage]:
        """Return the passages that say most to what is asked, the best first; none where no word of it is in any.

        Files that were not looked into before are read first, which may take minutes. Raises BadDefinition, which says
        why one cannot be read and what to do, and FileChanging.
        """
        ...
