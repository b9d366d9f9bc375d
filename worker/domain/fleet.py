"""The workers of one engine, as they tell each other of themselves."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Member:
    """One worker: its version, and the assistants that it has, name and version each.

    `newer`: a newer worker, and what it has cannot be read here.
    """

    worker: str
    version: str
    assistants: frozenset[tuple[str, str]]
    newer: bool = False

    def has(self, name: str, version: str | None) -> bool:
        """Whether it has this assistant, or may have it; in any version if none is said."""
        return self.newer or any(name == each and version in (None, known) for each, known in self.assistants)
