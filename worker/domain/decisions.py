"""Records of decisions, as they are kept and found. What stands in a record is for `worker.decisions` to say."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from worker.domain.conversations import digest

HASH_SUFFIX: Final = "_sha256"
"""Ends the name of the process variable with a record's hash, beside the result of the task that made it."""
ID_SUFFIX: Final = "_id"
"""Ends that of the one with its id."""
TEXT_SUFFIX: Final = "_text"
"""Ends that of the one with its words, where they are wanted."""


@dataclass(frozen=True, slots=True)
class DecisionKey:
    """Whose record it is: of a process instance, one of several by its name; `tenant` is the instance's."""

    engine: str
    instance: str
    name: str = ""
    tenant: str | None = None

    @property
    def id(self) -> str:
        """32 hex digits, no two keys alike."""
        return digest("decision", self.engine, self.tenant, self.instance, self.name)


@dataclass(frozen=True, slots=True)
class Held:
    """That a record is on legal hold: since when, by whom and why. The reason stays as long as the record does."""

    since: datetime
    by: str
    why: str


@dataclass(frozen=True, slots=True)
class Removed:
    """How much was taken from records and of what they cite, and the ids of those on hold, which keep it all."""

    count: int
    held: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """A record with all of its rows, as it was kept last.

    `record` is JSON as the published schema has it, without the rows; `rows` are in their order. `held` is as of now.
    `is_last`: no later revision is kept.
    """

    key: DecisionKey
    definition_key: str
    business_key: str | None
    record: Mapping[str, Any]
    rows: tuple[Mapping[str, Any], ...]
    began_at: datetime
    changed_at: datetime
    held: Held | None = None
    is_last: bool = True

    @property
    def id(self) -> str:
        """That of its key."""
        return self.key.id


@dataclass(frozen=True, slots=True)
class OldDecision:
    """A record that was not changed for long. `ended_at` is its instance's end, if that was noted."""

    id: str
    instance: str
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class DecisionSeen:
    """What a list shows of a record."""

    key: DecisionKey
    definition_key: str
    business_key: str | None
    revision: int
    status: str
    began_at: datetime
    changed_at: datetime
    held: Held | None = None
