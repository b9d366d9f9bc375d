"""What reads documents, and says what a test tells it to."""

import asyncio

from worker.domain.documents import Form, Page
from worker.errors import BadInput


class FakeDocuments:
    """`ports.documents.Documents`. Pages by their bytes; others cannot be read. Each takes so many `seconds`."""

    def __init__(self) -> None:
        self.pages: dict[bytes, tuple[Page, ...] | None] = {}
        self.seconds = 0.0
        self.read_as: list[tuple[Form, int, str | None]] = []

    async def read(self, content: bytes, form: Form, most: int, encoding: str | None = None) -> tuple[Page, ...] | None:
        self.read_as.append((form, most, encoding))
        await asyncio.sleep(self.seconds)
        if content not in self.pages:
            raise BadInput("cannot be read and may be damaged")
        return self.pages[content]
