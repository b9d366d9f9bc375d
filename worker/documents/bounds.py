"""What the reading of one document may take, and how the process that reads it is told."""

import json
from dataclasses import asdict, dataclass
from typing import Literal

from worker.domain import foreign
from worker.domain.documents import Form

Why = Literal["encrypted", "pages", "unpacked", "memory", "time", "strange", "pypdf", "openpyxl", "broken"]
"""Why a document is not read. The names of packages are those that are missing for it."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one document may take. `unpacked` and `memory` are in bytes; the latter counts addresses, used or not."""

    seconds: int = 120
    cpu_seconds: int = 30
    memory: int = 300_000_000
    pages: int = 1000
    unpacked: int = 100_000_000


BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class Job:
    """One document to be read, which comes by stdin. Text of more than `most` bytes is not wanted."""

    form: Form
    most: int
    encoding: str | None
    bounds: Bounds

    def written(self) -> str:
        """Write it as one argument."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, argument: str) -> "Job":
        """Read it back."""
        said = foreign.read(argument)
        return cls(**said | {"bounds": Bounds(**said["bounds"])})


class Unread(Exception):
    """The document is not read."""

    def __init__(self, why: Why) -> None:
        super().__init__(why)
        self.why: Why = why


class TooLong(Exception):
    """There is more text than is wanted."""


class Pages:
    """Collects text, page by page. Raises TooLong as soon as there is more than is wanted."""

    def __init__(self, most: int) -> None:
        self._room = most
        self._pages: list[tuple[str, list[str]]] = []

    def begin(self, mark: str) -> None:
        """Begin another page."""
        self._pages.append((mark, []))

    def line(self, text: str) -> None:
        """Add a line, or several, to the page."""
        # Half characters, as fonts of PDFs may map to, cannot be written; NUL is none that engines or databases take.
        text = text.encode(errors="replace").decode().replace("\0", "")
        self._room -= len(text.encode()) + 1
        if self._room < 0:
            raise TooLong
        self._pages[-1][1].append(text)

    def read(self) -> list[tuple[str, str]]:
        """Return what was collected: marks, each with the text of its page."""
        return [(mark, "\n".join(lines).strip("\n")) for mark, lines in self._pages]
