"""What was said elsewhere about a conversation, as somebody records it: no assistant is asked, and none is told."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from worker.domain.conversations import REMARK, Role, digest, session_id
from worker.domain.people import Person
from worker.domain.threads import ThreadKey

LARGEST_METADATA: Final = 4000
"""Characters of it as JSON."""


@dataclass(frozen=True, slots=True)
class Remark:
    """One message that was said about a thread elsewhere, by a voice bot or another agent, say.

    It is recorded beside the thread, in the session of its branch. `instance` is the process instance that it is of,
    with what is known of that. Attachments are links, which nobody here follows.
    """

    id: str
    about: ThreadKey
    person: Person
    role: Role
    text: str
    instance: str
    definition_id: str
    definition_key: str
    said_at: datetime
    definition_version: int | None = None
    business_key: str | None = None
    attachments: Sequence[str] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def session_id(self) -> str:
        """The session that it is recorded in."""
        return session_id(self.about.branch)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A remark as the record has it. `person_id` is who recorded it, as `Person.id`."""

    id: str
    session_id: str
    role: Role
    text: str
    person: str | None
    person_id: str
    attachments: Sequence[str]
    metadata: Mapping[str, Any]
    created_at: datetime


def size_of(metadata: Mapping[str, Any]) -> int:
    """Count the characters of metadata as JSON. Raises ValueError for what is none."""
    return len(json.dumps(metadata, allow_nan=False))


def remark_id(about: ThreadKey, person: Person, client_id: str) -> str:
    """Name a remark: 32 hex digits, the same whenever this person sends this message of theirs again."""
    key = (about.engine, about.tenant, about.scope, about.assistant)
    return digest(REMARK, *key, person.id, client_id)
