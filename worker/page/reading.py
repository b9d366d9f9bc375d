"""The page's own reading: messages ready to be shown, and what was said at each activity."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from worker.conversations import Conversations, Limits, Message, MessageFilter, Page, Role, every
from worker.page import shapes

_PAGE = 500
MOST_COUNTED = 20_000
"""Of an instance with more messages the newest are counted only."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A message, and its text as a tree of elements."""

    message: Message
    body: shapes.Tree


@dataclass(frozen=True, slots=True)
class Activity:
    """What was said at one activity of an instance. A turn is one task; `attempts` counts its repetitions too.

    `seconds` is the sum over all answers. `outcome` is that of the newest answer.
    """

    id: str
    name: str
    turns: int
    attempts: int
    input_tokens: int
    output_tokens: int
    seconds: float
    outcome: str


async def shown(page: Page[Message]) -> Page[Shown]:
    """Make a page of messages ready to be shown, beside the loop: the longest texts take a second."""
    return Page(await asyncio.to_thread(lambda: [Shown(each, _body(each)) for each in page.items]), page.next)


async def activities(conversations: Conversations, instance: str, *, within: Limits) -> list[Activity]:
    """Count what was said at each activity of an instance, in the order in which they last spoke."""
    wanted = MessageFilter(instance=instance)
    newest_first = every(
        lambda after: conversations.messages(wanted, within=within, after=after, limit=_PAGE, newest=True)
    )
    answers: dict[str, list[Message]] = {}
    counted = 0
    async with aclosing(newest_first):
        async for message in newest_first:
            if message.role is Role.AGENT:
                answers.setdefault(message.activity_id, []).append(message)
            if (counted := counted + 1) == MOST_COUNTED:
                break
    return [_activity(said) for said in reversed(answers.values())]


def _activity(answers: Sequence[Message]) -> Activity:
    newest = answers[0]
    return Activity(
        id=newest.activity_id,
        name=newest.activity_name,
        turns=len({answer.task_id for answer in answers}),
        attempts=len(answers),
        input_tokens=sum(answer.input_tokens or 0 for answer in answers),
        output_tokens=sum(answer.output_tokens or 0 for answer in answers),
        seconds=sum(answer.processing_seconds or 0 for answer in answers),
        outcome=str(newest.metadata.get("outcome", "")),
    )


def _body(message: Message) -> shapes.Tree:
    return shapes.answer(message.content) if message.role is Role.AGENT else shapes.plain(message.content)
