"""Where it is recorded what was said elsewhere. `ports.transcript.TranscriptReader` reads it."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from worker.domain.remarks import Recorded, Remark


class RemarkBook(Protocol):
    """Every method may raise TranscriptDown, and may be repeated with the same effect."""

    async def record(self, remark: Remark) -> Recorded | None:
        """Record a remark; returns when it is safe on disk. One that is there under its id stays, and is returned.

        None where the words of its conversation are gone. Raises AskedOtherwise where the one that is there has
        another text or role, and Unstorable.
        """
        ...

    async def remark(self, remark_id: str) -> Recorded | None:
        """One remark."""
        ...

    async def add(self, remark_id: str, attachments: Sequence[str], metadata: Mapping[str, Any]) -> Recorded | None:
        """Add links that it does not have, and metadata in the place of what has the same names.

        None where there is none, or its words are gone. Raises Unstorable where that is too much.
        """
        ...

    async def take_back(self, remark_id: str) -> None:
        """Delete a remark, and its session if nothing else was said there."""
        ...
