"""Replies as server-sent events: a response or a completion in the pieces that OpenAI sends it in."""

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from worker.demo.model.wire import Json

DONE: Final = b"data: [DONE]\n\n"
_PIECES: Final = re.compile(r"\s*\S+|\s+")
_UNFINISHED: Final[Json] = {
    "status": "in_progress",
    "output": [],
    "usage": None,
    "error": None,
    "incomplete_details": None,
    "completed_at": None,
}


@dataclass(frozen=True, slots=True)
class Event:
    """What is sent at once. `says`: it has more of the answer in it."""

    data: bytes
    says: bool = False


class EventStream(web.Response):
    """A reply that is sent event by event, as these come about; `failed` writes what reports an error among them."""

    def __init__(self, events: AsyncIterator[Event], failed: Callable[[str], Event]) -> None:
        super().__init__(content_type="text/event-stream")
        self.events = events
        self.failed = failed

    async def whole(self) -> web.Response:
        """The same reply in one piece."""
        body = b"".join([event.data async for event in self.events])
        return web.Response(body=body, content_type=self.content_type)


class ResponseEvents:
    """A response's events, numbered from 0."""

    def __init__(self) -> None:
        self._number = 0

    def begin(self, response: Mapping[str, Any]) -> Iterator[Event]:
        """What comes before anything is known of the answer."""
        for kind in ("response.created", "response.in_progress"):
            yield self._event(kind, response={**response, **_UNFINISHED})

    def finish(self, response: Mapping[str, Any]) -> Iterator[Event]:
        """All that follows, of a response that has ended."""
        for position, item in enumerate(response.get("output") or ()):
            yield from self._item(item, {"output_index": position})
        yield self._event(f"response.{response.get('status') or 'completed'}", response=response)

    def failed(self, code: str) -> Event:
        """An error in place of the end."""
        return self._event("error", code=code, message="The server had an error.", param=None)

    def _item(self, item: Any, place: Json) -> Iterator[Event]:
        if not isinstance(item, dict) or item.get("type") != "message" or not isinstance(item.get("content"), list):
            yield self._event("response.output_item.added", item=item, **place)
            yield self._event("response.output_item.done", item=item, **place)
            return
        begun = {**item, "status": "in_progress", "content": []}
        yield self._event("response.output_item.added", item=begun, **place)
        for position, part in enumerate(item["content"]):
            within = {"item_id": item.get("id"), "content_index": position, **place}
            yield from self._part(part, within)
        yield self._event("response.output_item.done", item=item, **place)

    def _part(self, part: Any, place: Json) -> Iterator[Event]:
        refuses = isinstance(part, dict) and isinstance(part.get("refusal"), str)
        field, kind = ("refusal", "refusal") if refuses else ("text", "output_text")
        text = part.get(field) if isinstance(part, dict) else None
        if not isinstance(text, str):
            return
        more: Json = {} if refuses else {"logprobs": []}
        yield self._event("response.content_part.added", part={**part, field: ""}, **place)
        for piece in pieces(text):
            yield self._event(f"response.{kind}.delta", delta=piece, **more, **place, says=True)
        ended: Json = {field: text}
        yield self._event(f"response.{kind}.done", **ended, **more, **place)
        yield self._event("response.content_part.done", part=part, **place)

    def _event(self, kind: str, *, says: bool = False, **fields: Any) -> Event:
        data = json.dumps({"type": kind, **fields, "sequence_number": self._number})
        self._number += 1
        return Event(f"event: {kind}\ndata: {data}\n\n".encode(), says)


def chunks(completion: Mapping[str, Any], *, usage: bool = True) -> Iterator[Event]:
    """A completion in pieces; what it took comes last, if it was asked for."""
    head = {name: completion[name] for name in ("id", "created", "model") if name in completion}
    head["object"] = "chat.completion.chunk"
    head |= {"usage": None} if usage else {}
    choices = completion.get("choices") or []
    if not choices:
        yield _chunk(head | {"choices": []})
    for position, choice in enumerate(choices):
        index = {"index": position, "logprobs": None}
        for delta in _deltas(choice.get("message")):
            said = bool(delta.get("content") or delta.get("refusal"))
            yield _chunk(head | {"choices": [{**index, "delta": delta, "finish_reason": None}]}, says=said)
        yield _chunk(head | {"choices": [{**index, "delta": {}, "finish_reason": choice.get("finish_reason")}]})
    if usage:
        yield _chunk(head | {"choices": [], "usage": completion.get("usage")})
    yield Event(DONE)


def chunk_failed(code: str) -> Event:
    """An error in place of the end of a completion."""
    return _chunk({"error": {"message": "The server had an error.", "type": "server_error", "code": code}})


def pieces(text: str) -> list[str]:
    """A text word by word; joined they give it again."""
    return _PIECES.findall(text)


def _deltas(message: Any) -> Iterator[Json]:
    """A message in pieces. What is no text comes whole."""
    if not isinstance(message, dict):
        return
    content, refusal = message.get("content"), message.get("refusal")
    rest = {name: value for name, value in message.items() if name not in {"content", "refusal", "annotations"}}
    yield {**rest, "content": "" if isinstance(content, str) else content}
    for name, text in (("content", content), ("refusal", refusal)):
        if isinstance(text, str):
            yield from ({name: piece} for piece in pieces(text))


def _chunk(body: Json, *, says: bool = False) -> Event:
    return Event(f"data: {json.dumps(body)}\n\n".encode(), says)
