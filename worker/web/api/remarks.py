"""The routes by which agents elsewhere record what was said there about a conversation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, HTTPException
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


def recording(noting: Noting, conversations: TranscriptReader) -> Callable[[FastAPI], None]:
    """Make the extension that adds the routes. A token records about what it may see, and adds to what it recorded."""
    router = APIRouter()

    @router.post("/sessions/{session_id}/remarks", status_code=HTTPStatus.CREATED)
    async def record(grant: MayAsk, session_id: Id, told: Told) -> Remark:
        """Record what was said elsewhere about a conversation; no assistant is asked, or told of it.

        It stands beside the conversation, in the session in which persons are answered while the process runs.
        """
        session = found(await conversations.session(session_id, within=grant.limits))
        said = Said(told.id, role_of(told.role), told.text, told.attachments, told.metadata)
        with problems.refusing(_TOLD):
            return Remark.of(await noting.record(session, grant.speaker, said))

    @router.patch("/remarks/{remark_id}")
    async def add(grant: MayAsk, remark_id: Id, more: More) -> Remark:
        """Add attachments and metadata to a remark of one's own."""
        kept = found(await noting.find(remark_id))
        found(await conversations.session(kept.session_id, within=grant.limits))
        if kept.person_id != grant.speaker.id:
            raise HTTPException(403, "Somebody else has recorded this.")
        with problems.refusing(_TOLD):
            return Remark.of(await noting.add(kept, more.attachments, more.metadata))

    def extend(application: FastAPI) -> None:
        answers = problems.documented(401, 403, 404, 409, 410, 422, 429, 503)
        application.include_router(router, prefix="/api", responses=answers)

    return extend
