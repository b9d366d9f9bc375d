"""What Zep is to call what is ours: users, threads, and the keys by which a repeated request is known. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid5

from worker.domain.memory import MemorySubject

REQUESTS: Final = UUID("0d5b1c9a-8f6e-5f0a-9d63-2b7a4f1f6c11")
"""Keys of requests are made under it: any UUID, as long as it stays the same."""
_THREAD_DIGITS: Final = 24


@dataclass(frozen=True, slots=True)
class UserName:
    """One subject in one generation, as `owner` keeps it: whoever is forgotten and comes again is another user."""

    owner: str
    subject: MemorySubject

    def __str__(self) -> str:
        """Return the id that we give it."""
        return f"{self.owner}-{self.subject.digest}-{self.subject.generation}"

    @property
    def metadata(self) -> dict[str, str]:
        """What the user carries from the request on that makes it. In words: numbers may come back as others."""
        return {
            "kept_by": self.owner,
            "subject": self.subject.digest,
            "generation": str(self.subject.generation),
        }

    def owns(self, metadata: object) -> bool:
        """Whether a user with this metadata was made by us for this subject."""
        return isinstance(metadata, Mapping) and all(metadata.get(name) == each for name, each in self.metadata.items())

    def thread(self, instance: str) -> str:
        """Return the id that we give the thread of an instance."""
        return f"{self}-{hashlib.sha256(instance.encode()).hexdigest()[:_THREAD_DIGITS]}"


def request_key(*parts: Any) -> str:
    """Name a request by what it is for, so that whoever repeats it, wherever, has the same name for it."""
    return str(uuid5(REQUESTS, "\n".join(map(str, parts))))
