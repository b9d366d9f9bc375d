"""The page's own reading: messages ready to be shown."""

import asyncio
from dataclasses import dataclass

from worker.domain.conversations import Message, Page, Role
from worker.web.page import shapes


@dataclass(frozen=True, slots=True)
class Shown:
    """A message, and its text as a tree of elements."""

    message: Message
    body: shapes.Tree


async def shown(page: Page[Message]) -> Page[Shown]:
    """Make a page of messages ready to be shown, beside the loop: the longest texts take a second."""
    return Page(await asyncio.to_thread(lambda: [Shown(each, _body(each)) for each in page.items]), page.next)


def _body(message: Message) -> shapes.Tree:
    return shapes.answer(message.content) if message.role is Role.AGENT else shapes.plain(message.content)
