"""The routes by which people say that an answer is right or wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import HTTPException
from pydantic import BaseModel, ConfigDict, Field

from worker.domain.conversations import Message, MessageFilter
from worker.domain.feedback import LONGEST_NOTE, Feedback, Rating
from worker.ports.feedback import FeedbackWriter
from worker.ports.transcript import TranscriptReader
from worker.telemetry import metrics
from worker.web.api.grants import Grant, MayRead, person_of
from worker.web.api.routes import Id, found
from worker.web.api.routing import Extension, adding, below_api, from_application

NOBODY = "This token says of nobody whose it is: give it a name in API_TOKENS."


class Word(BaseModel):
    """What a person says of an answer, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rating: Rating
    note: str = Field("", max_length=LONGEST_NOTE)


@dataclass(frozen=True, slots=True)
class _Ports:
    """What the routes stand on."""

    conversations: TranscriptReader
    feedback: FeedbackWriter


Ports = Annotated[_Ports, from_application(_Ports)]
router = below_api(401, 403, 404, 409, 422, 429, 503)


def rating(conversations: TranscriptReader, feedback: FeedbackWriter) -> Extension:
    """Make the extension that adds the routes: for all who may read an answer, and have a name."""
    return adding(router, _Ports(conversations, feedback))


@router.put("/messages/{message_id}/feedback")
async def give_feedback(grant: MayRead, ports: Ports, message_id: Id, word: Word) -> Sequence[Feedback]:
    """Call an answer right or wrong, in place of what this person said of it before.

    Returns what all say of it. Questions, and messages on the way to an answer, are refused.
    """
    person, answer = person_of(grant, NOBODY), await _answer(ports.conversations, message_id, grant)
    given = Feedback(word.rating, word.note, person.name, person.id, datetime.now(UTC))
    if not await ports.feedback.give(answer.id, given):
        raise HTTPException(404, "The words of this answer are gone.")
    # Counted once for each person and rating, however often a page sends it or mends its note.
    if (person.id, word.rating) not in {(each.person_id, each.rating) for each in answer.feedback}:
        session = await ports.conversations.session(answer.session_id, within=grant.limits)
        metrics.FEEDBACK.labels(word.rating, found(session).assistant).inc()
    return (await _answer(ports.conversations, message_id, grant)).feedback


@router.delete("/messages/{message_id}/feedback")
async def take_feedback_back(grant: MayRead, ports: Ports, message_id: Id) -> Sequence[Feedback]:
    """Delete what this person said of an answer, if anything; returns what all say of it."""
    person, answer = person_of(grant, NOBODY), await _answer(ports.conversations, message_id, grant)
    await ports.feedback.take_back(answer.id, person.id)
    return (await _answer(ports.conversations, message_id, grant)).feedback


async def _answer(conversations: TranscriptReader, message_id: str, grant: Grant) -> Message:
    page = await conversations.messages(MessageFilter(id=message_id), within=grant.limits, limit=1)
    message = found(page.items[0] if page.items else None)
    if not message.is_answer:
        raise HTTPException(409, "This is no answer: only answers can be called right or wrong.")
    return message
