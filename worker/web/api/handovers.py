"""The routes by which persons hand to a process what they were answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from worker.chat.desk import Desk, Erased
from worker.chat.handing import (
    Ended,
    HandedOtherwise,
    Handing,
    NotAnswered,
    NothingToDecide,
    NotRecorded,
    NotTaken,
    NotTheirs,
    Wanted,
)
from worker.domain.handovers import MARKER, Handover, Standing
from worker.domain.tasks import META_SUFFIX, THREAD_VARIABLE
from worker.errors import Conflict, EngineDown, ReadRefused, StoreDown, Unanswered
from worker.ports.transcript import TranscriptReader
from worker.web.api import problems
from worker.web.api.asks import LONGEST_TEXT, seen_ask
from worker.web.api.grants import MayHandOver, MayRead, person_of
from worker.web.api.routes import LONGEST, Id, found
from worker.web.api.routing import Extension, adding, below_api, from_application

NOBODY = "Without a person nobody hands anything over: give this token a name in API_TOKENS, or log in."
# Engines refuse slashes in addresses, in which the names of messages and tasks stand.
# And they take dots alone for another address.
Name = Annotated[
    str, Field(min_length=1, max_length=LONGEST, pattern=r"^[^/\\\x00-\x1f]*[^/\\.\x00-\x1f][^/\\\x00-\x1f]*$")
]


def _free(name: str) -> str:
    if name.startswith((MARKER, THREAD_VARIABLE)) or name.endswith(META_SUFFIX):
        raise ValueError("a variable of this name is the worker's own")
    return name


class _Delivery(BaseModel):
    """`text` is the answer unless it is said. It comes into the process variable `variable`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    variable: Annotated[str, Field(max_length=LONGEST, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"), AfterValidator(_free)]
    text: str | None = Field(None, min_length=1, max_length=LONGEST_TEXT)


class ByMessage(_Delivery):
    """A text that comes with a message, for which the process instance waits. `message` is the name in the model."""

    message: Name


class ByTask(_Delivery):
    """A text with which a user task of the process instance is completed. `task` is its id."""

    task: Name


class Word(BaseModel):
    """What a person knows of a hand-over that may have happened."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    happened: bool


@dataclass(frozen=True, slots=True)
class Handed:
    """A hand-over. `unknown`: it may have happened, and a person has to say so. `hash` is the text's SHA-256."""

    ask_id: str
    person: str
    message: str | None
    task: str | None
    variable: str
    hash: str
    state: Standing
    begun_at: datetime
    finished_at: datetime | None
    decided_by: str

    @classmethod
    def of(cls, handover: Handover) -> "Handed":
        """Show one."""
        names = ("message", "task", "variable", "hash", "state", "begun_at", "finished_at", "decided_by")
        told = {name: getattr(handover, name) for name in names}
        return cls(**told, ask_id=handover.ask, person=handover.person.name)


@dataclass(frozen=True, slots=True)
class Task:
    """A user task that is open. `may_complete`: it is free for who asks, or theirs."""

    id: str
    name: str
    assignee: str | None
    may_complete: bool


@dataclass(frozen=True, slots=True)
class Receivers:
    """What a process instance would take something by now: messages by their names in the model, and user tasks."""

    messages: Sequence[str]
    tasks: Sequence[Task]


@dataclass(frozen=True, slots=True)
class _Ports:
    """What the routes stand on."""

    handing: Handing
    desk: Desk
    conversations: TranscriptReader


Ports = Annotated[_Ports, from_application(_Ports)]
router = below_api(401, 403, 404, 409, 410, 422, 429, 503)


def handing_over(handing: Handing, desk: Desk, conversations: TranscriptReader) -> Extension:
    """Make the extension that adds the routes: for who has the right, and is a person."""
    return adding(router, _Ports(handing, desk, conversations))


@router.post("/asks/{ask_id}/handover", responses={202: {"model": Handed}})
async def hand_over(
    grant: MayHandOver, ports: Ports, ask_id: Id, delivery: ByMessage | ByTask, response: Response
) -> Handed:
    """Hand the answer of an ask, or a text in its place, to the process instance that it is of.

    The same again says what became of the first. 202: nobody knows yet; send it again.
    """
    person = person_of(grant, NOBODY)
    ask = await seen_ask(ports.desk, ports.conversations, grant, ask_id)
    wanted = Wanted(**delivery.model_dump(), user=grant.engine_user or person.subject)
    with problems.refusing(_TOLD):
        handed = Handed.of(await ports.handing.hand_over(ask, person, wanted))
    if handed.state is Standing.RUNNING:
        response.status_code = HTTPStatus.ACCEPTED
    return handed


@router.get("/asks/{ask_id}/handover")
async def handover(grant: MayRead, ports: Ports, ask_id: Id) -> Handed:
    """How it stands with what was handed over."""
    return Handed.of(found(await ports.handing.find(await seen_ask(ports.desk, ports.conversations, grant, ask_id))))


@router.get("/asks/{ask_id}/receivers")
async def receivers(grant: MayHandOver, ports: Ports, ask_id: Id) -> Receivers:
    """What the process instance of an ask waits for now, as the engine tells it: nothing, where it is over."""
    person = person_of(grant, NOBODY)
    ask = await seen_ask(ports.desk, ports.conversations, grant, ask_id)
    with problems.refusing({**_TOLD, ReadRefused: (503, "The engine does not tell what waits there: {}")}):
        offer = await ports.handing.offer(ask, grant.engine_user or person.subject)
    tasks = [Task(each.id, each.name, each.assignee, may) for each, may in offer.tasks]
    return Receivers(offer.messages, tasks)


@router.get("/sessions/{session_id}/handovers")
async def handovers(grant: MayRead, ports: Ports, session_id: Id) -> Sequence[Handed]:
    """What was handed over of what was asked about a conversation; the newest hundred."""
    found(await ports.conversations.session(session_id, within=grant.limits))
    return [Handed.of(each) for each in await ports.handing.of_session(session_id)]


@router.patch("/asks/{ask_id}/handover")
async def decide(grant: MayHandOver, ports: Ports, ask_id: Id, word: Word) -> Handed:
    """Say whether what may have been handed over was. If not, it may be handed over anew."""
    person = person_of(grant, NOBODY)
    ask = await seen_ask(ports.desk, ports.conversations, grant, ask_id)
    with problems.refusing(_TOLD):
        return Handed.of(await ports.handing.decide(ask, person, happened=word.happened))


_TOLD: problems.Told = {
    Erased: problems.ERASED,
    Ended: (410, "This process instance takes nothing any more: {}"),
    NotTheirs: (403, "This may not be handed over: {}"),
    NotAnswered: (409, "There is no answer to hand over: {}"),
    HandedOtherwise: (409, "This ask is handed over once: {}"),
    NothingToDecide: (409, "There is nothing to decide: {}"),
    NotTaken: (409, "Nothing was handed over: {}"),
    ReadRefused: (409, "Nothing was handed over: {}"),
    NotRecorded: (503, "Nothing was handed over: {}"),
    StoreDown: problems.UNKNOWN_IF_ERASED,
    EngineDown: (503, "The engine cannot be asked now: {}"),
    Unanswered: (503, "The engine cannot be asked now: {}"),
    Conflict: (503, "The engine cannot be asked now: {}"),
}
"""What keeps something from being handed over, and how that is answered."""
