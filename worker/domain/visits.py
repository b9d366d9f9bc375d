"""Visits: that a person, or an integration, is at a session, from when on and for how long."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from worker.domain.conversations import digest
from worker.domain.people import Person

SILENCE: Final = timedelta(seconds=100)
"""A visit of which nobody has heard for so long is over."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit. While it is open it has no end; `last_seen_at` is when it was last heard of.

    `person_id` is as `Person.id`, None where the record was made anonymous.
    """

    id: str
    session_id: str
    person_id: str | None
    person: str
    began_at: datetime
    last_seen_at: datetime
    ended_at: datetime | None
    duration_seconds: float | None

    @property
    def is_open(self) -> bool:
        """Whether the person is there."""
        return self.ended_at is None


@dataclass(frozen=True, slots=True)
class Stay:
    """A visit as the worker tells of it at which somebody reads along: began and ended, if it has, so long ago.

    `is_new`: it was not written yet.
    """

    id: str
    session_id: str
    person: Person
    is_new: bool
    began: timedelta
    ended: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """How many visits were closed that nobody keeps any more: their worker is gone, or they were silent for long."""

    lost: int = 0
    silent: int = 0


def visit_id(session_id: str, person: Person, client_id: str) -> str:
    """Name a visit: 32 hex digits, the same whenever this person sends this name of theirs again."""
    return digest("visit", session_id, person.id, client_id)
