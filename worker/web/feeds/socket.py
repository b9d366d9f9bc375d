"""Many feeds over one WebSocket, and asks: its client says which, in messages of JSON. docs/feeds.md has them all."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, WebSocket
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from starlette.exceptions import HTTPException
from starlette.types import Message
from starlette.websockets import WebSocketDisconnect, WebSocketState

from worker.domain.conversations import MessageFilter
from worker.errors import BadCursor, TranscriptDown
from worker.web.api.access import Access
from worker.web.api.asks import Asked, Intake
from worker.web.api.asks import Message as AskMessage
from worker.web.api.grants import Grant, MayRead
from worker.web.api.problems import NOT_KEPT, problem, told, wrong
from worker.web.api.routes import LONGEST
from worker.web.api.routing import Extension, adding, from_application
from worker.web.api.tickets import agreed
from worker.web.feeds.admission import TooMany
from worker.web.feeds.events import Event
from worker.web.feeds.feed import REVOKED, STOPPING, Feed
from worker.web.feeds.feeds import Feeds
from worker.web.feeds.place import LONGEST_PLACE, NOW, Place
from worker.web.feeds.reader import Reader

PATH: Final = "/api/feeds"
CODES: Final = {STOPPING: 1012, REVOKED: 1008}
"""How a socket is closed when one of its feeds ends for this. For any other reason its other feeds go on."""

LOOK_SECONDS = 15.0
"""Between two looks whether the token is good still, also of a client that reads nothing along."""

Name = Annotated[str, Field(min_length=1, max_length=64)]
Id = Annotated[str | None, Field(min_length=1, max_length=LONGEST)]


class NotThere(Exception):
    """There is nothing to be read along, or not for this reader; the text is for people."""


class Subscribe(BaseModel):
    """Open a feed under a name of the client's: of a session or an instance, from a place on, or from `now`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["subscribe"]
    feed: Name
    session: Id = None
    instance: Id = None
    after: str = Field("", max_length=LONGEST_PLACE)

    @model_validator(mode="after")
    def _is_one(self) -> "Subscribe":
        if (self.session is None) == (self.instance is None):
            raise ValueError("say either session or instance")
        return self

    @property
    def wanted(self) -> MessageFilter:
        """What is to be read along."""
        return MessageFilter(session_id=self.session, instance=self.instance)


class Unsubscribe(BaseModel):
    """Close the feed of this name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["unsubscribe"]
    feed: Name


class AskAbout(BaseModel):
    """Ask about a session, as `POST /api/sessions/…/asks` does; `ask` is what is posted there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["ask"]
    session: Annotated[str, Field(min_length=1, max_length=LONGEST)]
    ask: dict[str, Any]


Wish = Annotated[Subscribe | Unsubscribe | AskAbout, Field(discriminator="type")]
WISH: Final[TypeAdapter[Subscribe | Unsubscribe | AskAbout]] = TypeAdapter(Wish)
_ASKED: Final = TypeAdapter(Asked)


@dataclass(frozen=True, slots=True)
class _Ports:
    """What the route stands on: no intake where nobody answers persons."""

    feeds: Feeds
    access: Access
    intake: Intake | None


Ports = Annotated[_Ports, from_application(_Ports)]
router = APIRouter()


def sockets(feeds: Feeds, access: Access, intake: Intake | None = None) -> Extension:
    """Make the extension that adds the socket. Without an intake nobody answers persons here."""
    return adding(router, _Ports(feeds, access, intake))


@router.websocket(PATH)
async def serve(client: WebSocket, grant: MayRead, ports: Ports) -> None:
    """Serve one socket."""
    try:
        async with ports.feeds.admitted(grant.who, shared=not grant.is_local):
            await client.accept(agreed(client.scope))
            reader = Reader.of(client, ports.access, grant)
            await Socket(client, ports.feeds, reader, grant, ports.intake).serve()
    except TooMany as exc:
        await client.send_denial_response(problem(429, str(exc)))


class Socket:
    """One client's feeds, by the names that it gave them. The socket counts as one of them."""

    def __init__(self, client: WebSocket, feeds: Feeds, reader: Reader, grant: Grant, intake: Intake | None) -> None:
        self._client = client
        self._feeds = feeds
        self._reader = reader
        self._grant = grant
        self._intake = intake
        self._reading: dict[str, asyncio.Task[None]] = {}
        self._group = asyncio.TaskGroup()

    async def serve(self) -> None:
        """Do what the client says until it hangs up, or is hung up on."""
        try:
            async with self._group:
                self._group.create_task(self._watch(), name="socket's token")
                while True:
                    await self._take(await self._client.receive())
        except* WebSocketDisconnect:
            pass

    async def _watch(self) -> None:
        while self._reader.is_good:  # noqa: ASYNC110 - tokens end by the clock, too
            await asyncio.sleep(LOOK_SECONDS)
        if self._is_open:
            await self._client.close(CODES[REVOKED], REVOKED)

    async def _take(self, message: Message) -> None:
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"])
        try:
            wish = WISH.validate_json(message.get("text") or "")
        except ValidationError as exc:
            await self._tell("problem", detail=wrong(exc.errors()))
            return
        if isinstance(wish, AskAbout):
            await self._ask(wish)
            return
        running = self._reading.get(wish.feed)
        match wish:
            case Subscribe() if running is not None:
                await self._tell("refused", wish.feed, detail="There is a feed of this name: unsubscribe it first.")
            case Subscribe():
                task = self._reading[wish.feed] = self._group.create_task(self._read(wish), name="feed")
                # Not at its end: one that is unsubscribed at once never begins.
                task.add_done_callback(lambda _: self._reading.pop(wish.feed))
            case Unsubscribe() if running is not None:
                running.cancel()
                await asyncio.wait({running})
                await self._tell("unsubscribed", wish.feed)

    async def _ask(self, wish: AskAbout) -> None:
        """Accept an ask, or say why not; the next message is taken after that."""
        name = wish.ask.get("id")
        answer = {"ask": name if isinstance(name, str) else ""}
        try:
            asked = await self._asked(wish)
        except ValidationError as exc:
            refusal = HTTPException(422, wrong(exc.errors()))
        except TranscriptDown:
            refusal = HTTPException(503, NOT_KEPT)
        except HTTPException as exc:
            refusal = exc
        else:
            await self._send({"type": "asked", **answer, "data": _ASKED.dump_python(asked, mode="json")})
            return
        data = {"status": refusal.status_code, **asdict(told(refusal.status_code, refusal.detail))}
        await self._send({"type": "problem", **answer, "data": data})

    async def _asked(self, wish: AskAbout) -> Asked:
        if self._intake is None:
            raise HTTPException(404)
        grant = await self._reader.granted("ask")
        return await self._intake.take(grant, wish.session, AskMessage.model_validate(wish.ask))

    async def _read(self, wish: Subscribe) -> None:
        try:
            async with self._feeds.admitted(self._grant.who, shared=not self._grant.is_local):
                feed = await self._feed(wish)
                with self._feeds.visited(wish.wanted, self._reader.given.speaker):
                    await self._tell("subscribed", wish.feed)
                    async for event in feed.events():
                        if event is not None:
                            await self._pass_on(wish.feed, event)
        except (TooMany, BadCursor, NotThere) as exc:
            await self._tell("refused", wish.feed, detail=str(exc))
        except TranscriptDown:
            await self._tell("refused", wish.feed, detail="The record cannot be read now.")

    async def _feed(self, wish: Subscribe) -> Feed:
        """Open a feed. Raises NotThere, BadCursor, TranscriptDown."""
        place = None if wish.after == NOW else Place.load(wish.after)
        try:
            seen = (await self._reader.granted("read")).limits
        except HTTPException as exc:
            raise NotThere(exc.detail) from exc
        # As of now, and each of its feeds finds out for itself what has changed since.
        reader = replace(self._reader, limits=seen)
        if not await reader.sees(wish.wanted, self._feeds):
            raise NotThere("There is nothing here that this token may see.")
        return Feed(self._feeds, wish.wanted, reader.limits, place, partial(reader.allowed, wish.wanted, self._feeds))

    async def _pass_on(self, name: str, event: Event) -> None:
        place = {"id": event.place} if event.place else {}
        await self._send({"type": event.kind, "feed": name, **place, "data": event.data})
        code = CODES.get(event.data["reason"]) if event.kind == "closing" else None
        if code is not None and self._is_open:
            await self._client.close(code, event.data["reason"])

    async def _tell(self, kind: str, feed: str = "", **more: str) -> None:
        await self._send({"type": kind, **({"feed": feed} if feed else {}), **({"data": more} if more else {})})

    async def _send(self, message: Mapping[str, Any]) -> None:
        if not self._is_open:
            raise WebSocketDisconnect
        await self._client.send_json(message)

    @property
    def _is_open(self) -> bool:
        return self._client.application_state is WebSocketState.CONNECTED
