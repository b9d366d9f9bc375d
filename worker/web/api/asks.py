"""The routes by which persons ask assistants about a conversation, and hear what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import HTTPException
from pydantic import BaseModel, ConfigDict, Field

from worker.chat.desk import Desk, Erased, Mode, Occupied, Outdated, TooManyAsked, Unbroken, Wish
from worker.domain.asks import Ask, State
from worker.domain.conversations import Session, session_id
from worker.errors import AskedOtherwise
from worker.ports.transcript import TranscriptReader
from worker.web.api import problems
from worker.web.api.grants import Grant, MayAsk, MayRead
from worker.web.api.links import Links
from worker.web.api.routes import Id, found
from worker.web.api.routing import Extension, adding, below_api, from_application

LONGEST_TEXT = 20_000
LONGEST_CLIENT_ID = 200

_TOLD: problems.Told = {
    Erased: problems.ERASED,
    Outdated: (409, "This conversation has gone on: {}"),
    Occupied: (409, "Something else is before it: {}"),
    TooManyAsked: (429, "{}"),
    Unbroken: (409, "This cannot take its place: {}"),
    AskedOtherwise: (409, "A message with another text or other links was sent under this id"),
}
"""What keeps an ask from being accepted, or withdrawn, and how that is answered."""


class Message(BaseModel):
    """What a person asks. The client names it, so that it may send it again: the same id and text is the same ask.

    `on_thread`: later steps of the process hear it. `reject`: it is not accepted where it would have to wait;
    `interrupt`: what the person has waiting there is withdrawn for it, and it is not accepted where that has begun.
    `as_of` is how many answers the person knows, as the list of asks says it; with fewer than there are it is not
    accepted. Attachments are links for people, which nobody here follows, and of which the assistant is not told.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1, max_length=LONGEST_CLIENT_ID)
    text: str = Field(min_length=1, max_length=LONGEST_TEXT, pattern=r"\S")
    on_thread: bool = False
    mode: Mode = "enqueue"
    as_of: int | None = Field(None, ge=0, le=2**31)
    attachments: Links = []


@dataclass(frozen=True, slots=True)
class Asked:
    """An ask. It is answered in the session `answered_in`, by the message `answer`. `failure` says why it is not.

    `is_yours`: who reads this has asked it, whatever names people have.
    """

    id: str
    session_id: str
    answered_in: str
    client_id: str
    person: str
    text: str
    on_thread: bool
    state: State
    created_at: datetime
    finished_at: datetime | None
    answer: str | None
    failure: str
    attachments: Sequence[str] = ()
    is_yours: bool = False

    @classmethod
    def of(cls, ask: Ask, grant: Grant) -> "Asked":
        """Show one."""
        told: dict[str, Any] = {name: getattr(ask, name) for name in cls.__slots__ if hasattr(ask, name)}
        told |= {"answered_in": session_id(ask.target), "person": ask.person.name}
        return cls(**told, is_yours=ask.person.id == grant.speaker.id)


@dataclass(frozen=True, slots=True)
class Asks:
    """What was asked about a session, the newest first. `as_of` is for the next ask, None while nobody can tell."""

    as_of: int | None
    items: Sequence[Asked]


@dataclass(frozen=True, slots=True)
class Intake:
    """Takes asks, whichever way they come."""

    desk: Desk
    conversations: TranscriptReader

    async def take(self, grant: Grant, session_id: str, message: Message) -> Asked:
        """Accept an ask about what somebody may see; returns when it is safe. Raises HTTPException, TranscriptDown."""
        if message.on_thread and "sway" not in grant.rights:
            raise HTTPException(403, "This needs the right sway, which this token lacks.")
        session = await self.seen(grant, session_id)
        wish = Wish(message.id, message.text, message.on_thread, message.mode, message.as_of, message.attachments)
        with problems.refusing(_TOLD):
            return Asked.of(await self.desk.ask(session, grant.speaker, wish), grant)

    async def seen(self, grant: Grant, session_id: str) -> Session:
        """Find a session that somebody may see; anything else is not found."""
        return found(await self.conversations.session(session_id, within=grant.limits))


Ports = Annotated[Intake, from_application(Intake)]
router = below_api(401, 403, 404, 409, 410, 422, 429, 503)


def asking(desk: Desk, conversations: TranscriptReader) -> Extension:
    """Make the extension that adds the routes. A token asks about what it may see, and about nothing else."""
    return adding(router, Intake(desk, conversations))


@router.post("/sessions/{session_id}/asks", status_code=HTTPStatus.ACCEPTED)
async def ask(grant: MayAsk, intake: Ports, session_id: Id, message: Message) -> Asked:
    """Ask the assistant of a conversation something; once this is answered the ask is safe, and will be answered.

    While the process runs that happens beside its conversation, which hears nothing of it; to be heard there takes
    the right to sway.
    """
    return await intake.take(grant, session_id, message)


@router.get("/sessions/{session_id}/asks")
async def asks(grant: MayRead, intake: Ports, session_id: Id) -> Asks:
    """What was asked about a conversation, and how that stands; the newest hundred."""
    talk = await intake.desk.talk(await intake.seen(grant, session_id))
    return Asks(talk.as_of, [Asked.of(each, grant) for each in talk.asks])


@router.get("/asks/{ask_id}")
async def one_ask(grant: MayRead, intake: Ports, ask_id: Id) -> Asked:
    """One ask."""
    return Asked.of(await seen_ask(intake.desk, intake.conversations, grant, ask_id), grant)


@router.delete("/asks/{ask_id}")
async def withdraw(grant: MayAsk, intake: Ports, ask_id: Id) -> Asked:
    """Withdraw an ask of one's own that nobody has begun with."""
    kept = await seen_ask(intake.desk, intake.conversations, grant, ask_id)
    if kept.person.id != grant.speaker.id:
        raise HTTPException(403, "Somebody else has asked this.")
    with problems.refusing(_TOLD):
        return Asked.of(await intake.desk.withdraw(kept), grant)


async def seen_ask(desk: Desk, conversations: TranscriptReader, grant: Grant, ask_id: str) -> Ask:
    """Find an ask about what somebody may see; anything else is not found."""
    ask = found(await desk.find(ask_id))
    found(await conversations.session(ask.session_id, within=grant.limits))
    return ask
