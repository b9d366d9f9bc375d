"""Misbehaviour on request: rules that pick calls, and effects that spoil them. Effects are small and combine."""

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from aiohttp import web

from worker.demo.model.streams import EventStream
from worker.demo.model.turns import OUTCOMES

_PAGE = "<html><head><title>{0}</title></head><body><h1>{0}</h1><hr>gateway</body></html>"


def _error(status: int, message: str, kind: str, code: str | None = None, **more: Any) -> Mapping[str, Any]:
    return {"status": status, "message": message, "type": kind, "param": None, "code": code, **more}


def _page(status: int, title: str) -> Mapping[str, Any]:
    return {"status": status, "text": _PAGE.format(title), "headers": {"Content-Type": "text/html"}}


_REQUEST = "invalid_request_error"
REPLIES: Final[Mapping[str, Mapping[str, Any]]] = {
    "rate_limit": _error(429, "Rate limit reached for requests.", "requests", "rate_limit_exceeded"),
    "quota": _error(429, "You exceeded your current quota.", "insufficient_quota", "insufficient_quota"),
    "unauthorized": _error(401, "Incorrect API key provided.", _REQUEST, "invalid_api_key"),
    "forbidden": _error(403, "You have insufficient permissions for this operation.", _REQUEST),
    "server_error": _error(500, "The server had an error while processing your request.", "server_error"),
    "overloaded": _error(503, "The engine is currently overloaded.", "service_unavailable_error"),
    "bad_gateway": _page(502, "502 Bad Gateway"),
    "html_404": _page(404, "404 Not Found"),
    "html_200": _page(200, "Welcome"),
    "not_json_200": {"status": 200, "text": "upstream: ok", "headers": {"Content-Type": "text/plain"}},
    "detail_404": {"status": 404, "json": {"detail": "Not Found"}},
    "route_404": _error(404, "Invalid URL ({method} {path})", _REQUEST),
    "model_404": _error(404, "The model '{model}' does not exist.", _REQUEST, "model_not_found", param="model"),
    "gone": _error(404, "Conversation with id '{conversation}' not found.", _REQUEST),
    "locked": _error(
        400,
        "Another process is currently operating on this conversation. Please retry in a few seconds.",
        _REQUEST,
        "conversation_locked",
        param="conversation",
    ),
    "context_length": _error(
        400, "Your input exceeds the context window of this model.", _REQUEST, "context_length_exceeded", param="input"
    ),
}

Act = Callable[[], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Call:
    """A request as rules see it: its `text` is its whole body, `question` what it asks.

    `conversation` is the id in the path or in the body.
    """

    name: str
    text: str
    conversation: str | None
    names: Mapping[str, str]
    question: str = ""


@dataclass(slots=True)
class Rule:
    """Which calls are spoiled, how often and how: those in which all of `text` stands, and all of `question` is asked.

    `call` may be several, with `|` between them. `times` None is for ever; `skip` lets the first ones through.
    """

    effect: Mapping[str, Any]
    call: str = "*"
    text: str | Sequence[str] | None = None
    question: Sequence[str] = ()
    conversation: str | None = None
    times: int | None = 1
    skip: int = 0
    probability: float = 1.0
    seed: int = 0
    hits: int = 0
    seen: int = 0
    _dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        if unknown := self.effect.keys() - EFFECTS:
            raise ValueError(f"no such effect or condition: {', '.join(sorted(unknown))}")
        wanted = self.effect.get("outcome", "completed")
        if (wanted if isinstance(wanted, str) else wanted.get("name")) not in OUTCOMES:
            raise ValueError(f"no such outcome: {wanted}")
        for key in ("reply", "reply_after"):
            if key in self.effect:
                _whole(self.effect[key])

    def takes(self, call: Call) -> bool:
        """Whether this call is to be spoiled; counts it then."""
        if not self._fits(call):
            return False
        self.seen += 1
        if self.seen <= self.skip or self._dice.random() >= self.probability:
            return False
        self.hits += 1
        return True

    def _fits(self, call: Call) -> bool:
        return (
            (self.times is None or self.hits < self.times)
            and any(fnmatchcase(call.name, each) for each in self.call.split("|"))
            and all(each in call.text for each in ([self.text] if isinstance(self.text, str) else self.text or ()))
            and all(each in call.question for each in self.question)
            and self.conversation in {None, call.conversation}
        )

    def shown(self) -> dict[str, Any]:
        """The rule as control clients wrote it, with its hits."""
        names = ("call", "text", "question", "conversation", "times", "skip", "probability", "seed", "hits")
        return {name: getattr(self, name) for name in names} | dict(self.effect)


_CONDITIONS = frozenset({"call", "text", "question", "conversation", "times", "skip", "probability", "seed"})


def rule(wanted: Mapping[str, Any]) -> Rule:
    """A rule from its flat form. ValueError: something in it is unknown."""
    conditions = {key: value for key, value in wanted.items() if key in _CONDITIONS}
    return Rule({key: value for key, value in wanted.items() if key not in _CONDITIONS}, **conditions)


async def apply(effect: Mapping[str, Any], call: Call, request: web.Request, act: Act) -> web.StreamResponse:
    """Answers a call with these effects around `act`. A Lost reply was never sent."""
    for name, before in BEFORE.items():
        if name in effect and (early := await before(effect[name], call, request)) is not None:
            return early
    response = await act()
    if isinstance(response, EventStream):
        if not effect.keys() & AFTER.keys():
            return await _streamed(effect.get("stream", {}), request, response)
        response = await response.whole()
    for name, after in AFTER.items():
        if name in effect:
            response = await after(effect[name], call, request, response)
    return response


class Lost(web.Response):
    """Stands for a reply that the client never gets."""


def _reset(request: web.Request) -> Lost:
    """Resets the connection, so that the client sees an error and no orderly end."""
    if request.transport is not None:
        sock: socket.socket | None = request.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return Lost()


def _whole(wanted: str | Mapping[str, Any]) -> Mapping[str, Any]:
    """A reply in full: a preset by its name, what is given on top of one, or made from nothing."""
    given = {"preset": wanted} if isinstance(wanted, str) else wanted
    preset = given.get("preset")
    if preset is not None and preset not in REPLIES:
        raise ValueError(f"no such reply: {preset}")
    base = REPLIES[preset] if preset else {"status": 500, "message": "An error.", "type": _REQUEST}
    return {**base, **given}


def _reply(wanted: str | Mapping[str, Any], call: Call) -> web.Response:
    whole = _whole(wanted)
    headers = dict(whole.get("headers", {}))
    if "text" in whole:
        headers.setdefault("Content-Type", "text/plain")
        return web.Response(status=whole["status"], text=whole["text"], headers=headers)
    if "json" in whole:
        return web.json_response(whole["json"], status=whole["status"], headers=headers)
    error = {name: whole.get(name) for name in ("message", "type", "param", "code")}
    error["message"] = str(error["message"]).format_map(call.names)
    return web.json_response({"error": error}, status=whole["status"], headers=headers)


async def _wait_before(seconds: float, _call: Call, _request: web.Request) -> None:
    await asyncio.sleep(seconds)


async def _drop(_on: object, _call: Call, request: web.Request) -> web.StreamResponse:
    return _reset(request)


async def _instead(wanted: str | Mapping[str, Any], call: Call, _request: web.Request) -> web.StreamResponse:
    return _reply(wanted, call)


After = Callable[[Any, Call, web.Request, web.StreamResponse], Awaitable[web.StreamResponse]]


async def _wait_after(seconds: float, _call: Call, _request: web.Request, response: web.StreamResponse) -> Any:
    await asyncio.sleep(seconds)
    return response


async def _replaced(wanted: Any, call: Call, _request: web.Request, _response: web.StreamResponse) -> web.Response:
    return _reply(wanted, call)


async def _page_instead(_on: object, call: Call, _request: web.Request, _response: web.StreamResponse) -> web.Response:
    return _reply("html_200", call)


async def _truncated(_on: object, _call: Call, _request: web.Request, response: web.StreamResponse) -> web.Response:
    body = _body(response)
    return web.Response(status=response.status, body=body[: len(body) // 2], content_type=response.content_type)


async def _cut(_on: object, _call: Call, request: web.Request, _response: web.StreamResponse) -> web.Response:
    return _reset(request)


async def _broken(_on: object, _call: Call, request: web.Request, response: web.StreamResponse) -> web.Response:
    stream, body = await _begun(request, response)
    await stream.write(body[: len(body) // 2])
    return _reset(request)


async def _drip(rate: float, _call: Call, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    stream, body = await _begun(request, response)
    with contextlib.suppress(ConnectionResetError):  # the client had enough
        for byte in body:
            await stream.write(bytes([byte]))
            await asyncio.sleep(1 / rate)
    return stream


async def _stall(_on: object, _call: Call, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    stream, _ = await _begun(request, response)
    await _abandoned(request)
    return stream


async def _abandoned(request: web.Request) -> None:
    while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110 - nothing tells us
        await asyncio.sleep(0.02)


async def _streamed(wanted: Mapping[str, Any], request: web.Request, events: EventStream) -> web.StreamResponse:
    """Sends events as they come about, up to where something happens to the stream."""
    stream = web.StreamResponse(headers={"Content-Type": events.content_type})
    await stream.prepare(request)
    said = 0
    with contextlib.suppress(ConnectionResetError):  # the client had enough
        async for event in events.events:
            if event.says:
                if said == wanted.get("after"):
                    return await _broken_off(wanted, request, events, stream)
                said += 1
                await asyncio.sleep(wanted.get("pause", 0))
            await stream.write(event.data)
    return stream


async def _broken_off(
    wanted: Mapping[str, Any], request: web.Request, events: EventStream, stream: web.StreamResponse
) -> web.StreamResponse:
    match wanted["then"]:
        case "cut":
            return _reset(request)
        case "stall":
            await _abandoned(request)
        case "error":
            await stream.write(events.failed(wanted.get("code", "server_error")).data)
    return stream


async def _begun(request: web.Request, response: web.StreamResponse) -> tuple[web.StreamResponse, bytes]:
    """Sends the headers only; the body follows piece by piece."""
    body = _body(response)
    stream = web.StreamResponse(status=response.status, headers={"Content-Type": response.content_type})
    stream.content_length = len(body)
    await stream.prepare(request)
    return stream, body


def _body(response: web.StreamResponse) -> bytes:
    body = response.body if isinstance(response, web.Response) else b""
    return bytes(body) if isinstance(body, (bytes, bytearray)) else b""


BEFORE: Final[Mapping[str, Callable[[Any, Call, web.Request], Awaitable[web.StreamResponse | None]]]] = {
    "before": _wait_before,
    "drop": _drop,
    "reply": _instead,
}
AFTER: Final[Mapping[str, After]] = {
    "after": _wait_after,
    "reply_after": _replaced,
    "html200": _page_instead,
    "truncated": _truncated,
    "cut": _cut,
    "broken": _broken,
    "drip": _drip,
    "stall": _stall,
}
IN_TURN: Final = frozenset({"during", "hold", "queued", "answer", "outcome"})
"""Effects that the turn itself heeds; other calls ignore them."""
IN_INDEX: Final = frozenset({"index"})
"""How a file is indexed that is put into a store, see `files.Files.put`."""
IN_STREAM: Final = frozenset({"stream"})
"""Happens to a reply that is streamed: `pause` seconds before each piece of the answer; `after` so many of them comes
`then`: `cut`, `end` without the last event, `stall`, or `error` with a `code`."""

EFFECTS: Final = IN_TURN | IN_INDEX | IN_STREAM | BEFORE.keys() | AFTER.keys()
