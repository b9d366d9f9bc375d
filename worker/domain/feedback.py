"""What people say of answers: right or wrong, and why."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, get_args

Rating = Literal["right", "wrong"]
RATINGS: Final[tuple[Rating, ...]] = get_args(Rating)

LONGEST_NOTE = 2000


@dataclass(frozen=True, slots=True)
class Feedback:
    """What one person says of an answer. `person` is the name, for people.

    `person_id` tells persons apart, as `Person.id` does; None where the record was made anonymous.
    """

    rating: Rating
    note: str
    person: str
    person_id: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Rated:
    """How often people called the answers of an assistant right and wrong. Its version is empty if nobody knows it."""

    assistant: str
    version: str
    right: int = 0
    wrong: int = 0
