"""The page's own reading: messages ready to be shown."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter
from starlette.responses import Response

from worker.domain.conversations import Message, Page
from worker.runtime.beside import for_reader
from worker.web.page import shapes

MOST_CHARACTERS = 300_000
MOST_ELEMENTS = 50_000
"""What of one page's answers is laid out; those behind it are shown as they are, so that every page comes soon."""
MOST_OF_ONE = 20_000
"""Elements and texts of one answer: short data can become ten times as long when it is laid out."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A message, and its text as a tree of elements."""

    message: Message
    body: shapes.Tree


_SHOWN = TypeAdapter(Shown)


async def shown(page: Page[Message]) -> Response:
    """Answer with a `Page[Shown]`, made beside the loop: the longest take some seconds."""
    return Response(await for_reader(_written, page), media_type="application/json")


def _written(page: Page[Message]) -> bytes:
    # One by one: the loop gets its turn between two of them only.
    items = b",".join(_SHOWN.dump_json(Shown(*each)) for each in zip(page.items, bodies(page.items), strict=True))
    return b'{"items":[%b],"next":%b}' % (items, json.dumps(page.next).encode())


def bodies(messages: Sequence[Message]) -> Iterator[shapes.Tree]:
    """Lay out a page's texts: answers as long as there is room, everything else as it is."""
    characters, elements = MOST_CHARACTERS, MOST_ELEMENTS
    for each in messages:
        body = shapes.plain(each.content)
        if each.is_answer and elements > 0 and len(each.content) <= characters:
            characters -= len(each.content)
            laid_out = shapes.answer(each.content)
            size = min(shapes.size(laid_out), MOST_OF_ONE)  # what is too much took its time too
            body = laid_out if size < MOST_OF_ONE else body
            elements -= size
        yield body
