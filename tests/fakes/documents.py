"""What reads documents, and says what a test tells it to."""

import asyncio
import json
from collections.abc import Sequence

from worker.domain.documents import AssistantFile, Form, Page, Passage
from worker.errors import BadDefinition, BadInput


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


class FakeShelf:
    """`ports.documents.Shelf`. What its files say, by a word of the question; a file without any cannot be read."""

    def __init__(self) -> None:
        self.said: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []

    async def content(self, file: AssistantFile) -> bytes:
        if file.name not in self.said:
            raise BadDefinition(f"the file {file.name!r} cannot be read")
        return json.dumps(self.said[file.name]).encode()

    async def find(self, files: Sequence[AssistantFile], asked: str, most: int) -> list[Passage]:
        self.asked.append(asked)
        if lacking := [each.name for each in files if each.name not in self.said]:
            raise BadDefinition(f"the file {lacking[0]!r} cannot be read")
        found = [
            Passage(each, "page 1 of 1", text)
            for each in files
            for word, text in self.said[each.name].items()
            if word in asked
        ]
        return found[:most]
