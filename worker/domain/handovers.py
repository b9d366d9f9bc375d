"""What persons hand to a process of what they were answered, and what is known of whether it has come there."""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from worker.domain import foreign
from worker.domain.people import Person

MARKER: Final = "handover_"
"""Begins the name of the process variable that comes with what is handed over, or not at all."""
LONGEST_MARKER: Final = 4000
"""Characters; a text that has more was not written by us."""

_NAME = re.compile(MARKER + "[0-9a-f]{32}")


class Standing(StrEnum):
    """How it stands with a hand-over. `unknown`: it may have been handed over, and a person has to say so.

    `running`: the engine is being told, or was told and has not been heard of.
    """

    RUNNING = "running"
    HANDED_OVER = "handed_over"
    UNKNOWN = "unknown"
    NOT_HANDED_OVER = "not_handed_over"


@dataclass(frozen=True, slots=True)
class Handover:
    """What a person hands to the process instance of an ask: by a message, or with a user task, one of both.

    The text goes into the process variable `variable`; `hash` is the text's SHA-256 in hex digits. Whoever hands it
    over has it until `due_at`, as its `holder`: from then on what the engine shows is all that comes of it. Of an
    unknown one `decided_by` says whose word its end is.
    """

    ask: str
    person: Person
    message: str | None
    task: str | None
    variable: str
    hash: str
    state: Standing
    holder: str
    begun_at: datetime
    due_at: datetime
    finished_at: datetime | None = None
    decided_by: str = ""

    def is_of(self, other: "Handover") -> bool:
        """Whether both hand over the same in the same way; whoever does it."""
        return all(
            getattr(self, name) == getattr(other, name) for name in ("ask", "message", "task", "variable", "hash")
        )

    @property
    def marker(self) -> "Marker":
        """What the process keeps of it."""
        return Marker(self.person, self.variable, self.hash)


@dataclass(frozen=True, slots=True)
class Marker:
    """What stands in the process variable of a hand-over: who has handed over what, and into which variable."""

    person: Person
    variable: str
    hash: str

    def is_of(self, other: "Marker") -> bool:
        """Whether both are of the same person, text and variable."""
        return (self.person.id, self.variable, self.hash) == (other.person.id, other.variable, other.hash)

    @property
    def text(self) -> str:
        """As it is written."""
        whose = {"person": self.person.name, "issuer": self.person.issuer, "subject": self.person.subject}
        return json.dumps(whose | {"variable": self.variable, "hash": self.hash})


@dataclass(frozen=True, slots=True)
class UserTask:
    """A user task that is open: whose it is, and who may have it, users and groups by their ids.

    `name` is what people read, or its id in the model.
    """

    id: str
    process_instance_id: str
    assignee: str | None
    is_suspended: bool
    is_delegated: bool
    users: frozenset[str]
    groups: frozenset[str]
    name: str = ""


class Absent(StrEnum):
    """Why there is no marker: its instance runs without it, is over without it, or nobody can tell any more."""

    RUNS = "runs"
    OVER = "over"
    HIDDEN = "hidden"


def marker_name(ask: str) -> str:
    """Name the process variable of an ask's hand-over."""
    return MARKER + ask


def read_marker(name: str, value: Any) -> Marker | None:
    """Read a variable; None for what is no marker of ours. `name` may be any variable's."""
    if not _NAME.fullmatch(name) or not isinstance(value, str) or len(value) > LONGEST_MARKER:
        return None
    try:
        said = foreign.read(value)
    except ValueError:
        return None
    match said:
        case {
            "person": str(person),
            "issuer": str(issuer),
            "subject": str(subject),
            "variable": str(variable),
            "hash": str(hash_),
        }:
            return Marker(Person(issuer, subject, person), variable, hash_)
    return None


def text_hash(text: str) -> str:
    """Tell one text from another."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
