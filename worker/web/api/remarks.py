"""The routes by which agents elsewhere record what was said there about a conversation."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import HTTPException
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from worker.chat.desk import Erased
from worker.chat.noting import Noting, Said
from worker.domain import foreign, remarks
from worker.domain.conversations import Role, role_of
from worker.domain.remarks import LARGEST_METADATA
from worker.errors import AskedOtherwise, StoreDown, Unstorable
from worker.ports.transcript import TranscriptReader
from worker.web.api import problems
from worker.web.api.asks import LONGEST_CLIENT_ID, LONGEST_TEXT
from worker.web.api.grants import MayAsk
from worker.web.api.links import Links
from worker.web.api.routes import Id, found
from worker.web.api.routing import Extension, adding, below_api, from_application


def _small(metadata: dict[str, Any]) -> dict[str, Any]:
    # Raises where it is nested too deep to be measured, which ends in a RecursionError otherwise.
    foreign.extent(metadata)
    if remarks.size_of(metadata) > LARGEST_METADATA:
        raise ValueError(f"more than {LARGEST_METADATA} characters as JSON")
    return metadata


Metadata = Annotated[dict[str, Any], AfterValidator(_small)]

_TOLD: problems.Told = {
    Erased: problems.ERASED,
    AskedOtherwise: (409, "A message with another text or role was sent under this id"),
    Unstorable: (422, "This cannot be recorded: {}"),
    StoreDown: problems.UNKNOWN_IF_ERASED,
}
"""What keeps a remark from being recorded, or added to, and how that is answered."""


class Told(BaseModel):
    """What was said elsewhere. The client names it, so that it may send it again: the same id and text is the same.

    `role` is who said it; `assistant` is another word for agent. Attachments are links, which nobody here follows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1, max_length=LONGEST_CLIENT_ID)
    role: Literal["user", "agent", "assistant", "system"]
    text: str = Field(min_length=1, max_length=LONGEST_TEXT)
    attachments: Links = []
    metadata: Metadata = {}


class More(BaseModel):
    """What comes to a remark later. Metadata takes the place of what has the same names there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attachments: Links = []
    metadata: Metadata = {}


@dataclass(frozen=True, slots=True)
class Remark:
    """A remark: the message `id` of the session `session_id`, which is beside the one that it is about."""

    id: str
    session_id: str
    role: Role
    text: str
    person: str | None
    attachments: Sequence[str]
    metadata: dict[str, Any]
    created_at: datetime

    @classmethod
    def of(cls, recorded: remarks.Recorded) -> "Remark":
        """Show one."""
        told = {name: getattr(recorded, name) for name in cls.__slots__}
        return cls(**told | {"metadata": dict(recorded.metadata)})


@dataclass(frozen=True, slots=True)
class _Ports:
    """What the routes stand on."""

    noting: Noting
    conversations: TranscriptReader


Ports = Annotated[_Ports, from_application(_Ports)]
router = below_api(401, 403, 404, 409, 410, 422, 429, 503)


def recording(noting: Noting, conversations: TranscriptReader) -> Extension:
    """Make the extension that adds the routes. A token records about what it may see, and adds to what it recorded."""
    return adding(router, _Ports(noting, conversations))


@router.post("/sessions/{session_id}/remarks", status_code=HTTPStatus.CREATED)
async def record(grant: MayAsk, ports: Ports, session_id: Id, told: Told) -> Remark:
    """Record what was said elsewhere about a conversation; no assistant is asked, or told of it.

    It stands beside the conversation, in the session in which persons are answered while the process runs.
    """
    session = found(await ports.conversations.session(session_id, within=grant.limits))
    said = Said(told.id, role_of(told.role), told.text, told.attachments, told.metadata)
    with problems.refusing(_TOLD):
        return Remark.of(await ports.noting.record(session, grant.speaker, said))


@router.patch("/remarks/{remark_id}")
async def add(grant: MayAsk, ports: Ports, remark_id: Id, more: More) -> Remark:
    """Add attachments and metadata to a remark of one's own."""
    kept = found(await ports.noting.find(remark_id))
    found(await ports.conversations.session(kept.session_id, within=grant.limits))
    if kept.person_id != grant.speaker.id:
        raise HTTPException(403, "Somebody else has recorded this.")
    with problems.refusing(_TOLD):
        return Remark.of(await ports.noting.add(kept, more.attachments, more.metadata))
