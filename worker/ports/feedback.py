"""Where what people say of answers is kept, beside the answers. `ports.transcript.TranscriptReader` reads it."""

from typing import Protocol

from worker.domain.feedback import Feedback


class FeedbackWriter(Protocol):
    """Every method may raise TranscriptDown, and may be repeated with the same effect."""

    async def give(self, message_id: str, feedback: Feedback) -> bool:
        """Keep what a person says of an answer, in place of what the same person said of it before.

        False where there is no such answer, or its words are gone. Raises Unstorable.
        """
        ...

    async def take_back(self, message_id: str, person_id: str) -> None:
        """Delete what a person said of an answer, if there is anything."""
        ...
