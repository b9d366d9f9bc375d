"""The page's own reading: messages ready to be shown."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter
from starlette.responses import Response

from worker.domain.conversations import Message, Page
from worker.domain.processes import Result
from worker.runtime.beside import for_reader
from worker.web.page import shapes

MOST_CHARACTERS = 300_000
MOST_ELEMENTS = 50_000
"""What of one page's answers is laid out; those behind it are shown as they are, so that every page comes soon."""
MOST_OF_ONE = 20_000
"""Elements and texts of one answer: short data can become ten times as long when it is laid out."""
LONGEST_RESULT = 100_000
"""Characters of a process variable that are shown."""


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
    return _laid_out((each.content, each.is_answer) for each in messages)


@dataclass(frozen=True, slots=True)
class Came:
    """A process variable that an answer was put into, and its text as a tree: None for a file.

    `is_cut`: the text was longer than is shown.
    """

    name: str
    at: datetime | None
    body: shapes.Tree | None
    is_cut: bool


@dataclass(frozen=True, slots=True)
class CameOut:
    """What came out of a process instance, the newest first. `problem` says why there may be more."""

    items: Sequence[Came]
    problem: str = ""


_CAME_OUT = TypeAdapter(CameOut)


async def came_out(results: Sequence[Result], problem: str = "") -> Response:
    """Answer with a `CameOut`, made beside the loop."""
    return Response(await for_reader(_results, results, problem), media_type="application/json")


def _results(results: Sequence[Result], problem: str) -> bytes:
    texts = [(each.text or "")[:LONGEST_RESULT] for each in results]
    items = [
        Came(each.name, each.at, None if each.text is None else body, len(each.text or "") > LONGEST_RESULT)
        for each, body in zip(results, _laid_out((text, True) for text in texts), strict=True)
    ]
    return _CAME_OUT.dump_json(CameOut(items, problem))


def _laid_out(texts: Iterable[tuple[str, bool]]) -> Iterator[shapes.Tree]:
    """Lay out texts, those that are answers as long as there is room."""
    characters, elements = MOST_CHARACTERS, MOST_ELEMENTS
    for text, is_answer in texts:
        body = shapes.plain(text)
        if is_answer and elements > 0 and len(text) <= characters:
            characters -= len(text)
            laid_out = shapes.answer(text)
            size = min(shapes.size(laid_out), MOST_OF_ONE)  # what is too much took its time too
            body = laid_out if size < MOST_OF_ONE else body
            elements -= size
        yield body
