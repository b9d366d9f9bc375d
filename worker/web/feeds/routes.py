"""The routes of feeds as server-sent events."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import Header, HTTPException, Query, Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from worker.domain.conversations import MessageFilter
from worker.web.api.access import Access
from worker.web.api.grants import Grant, MayRead
from worker.web.api.routes import Id
from worker.web.api.routing import Extension, adding, below_api, from_application
from worker.web.api.server import FEED
from worker.web.feeds.admission import TooMany
from worker.web.feeds.events import BEAT
from worker.web.feeds.feed import Feed
from worker.web.feeds.feeds import Feeds
from worker.web.feeds.place import LONGEST_PLACE, NOW, Place
from worker.web.feeds.reader import Reader

EVENTS = "text/event-stream"

After = Annotated[
    str | None,
    Query(
        max_length=LONGEST_PLACE,
        description="`id` of the last event that was read, or now; all from the start if not given.",
    ),
]
LastId = Annotated[str | None, Header(alias="Last-Event-ID", max_length=LONGEST_PLACE)]


@dataclass(frozen=True, slots=True)
class _Ports:
    """What the routes stand on."""

    feeds: Feeds
    access: Access


Ports = Annotated[_Ports, from_application(_Ports)]
router = below_api(401, 403, 404, 422, 429, 503)
_ANSWERS: dict[int | str, dict[str, Any]] = {200: {"content": {EVENTS: {"schema": {"type": "string"}}}}}


def following(feeds: Feeds, access: Access) -> Extension:
    """Make the extension that adds the routes."""
    return adding(router, _Ports(feeds, access))


@router.get("/sessions/{session_id}/feed", responses=_ANSWERS, response_class=StreamingResponse)
async def session_feed(
    request: Request, grant: MayRead, ports: Ports, session_id: Id, after: After = None, last_id: LastId = None
) -> StreamingResponse:
    """What is said in a conversation, and how far it is, as it happens: see docs/feeds.md."""
    return await _feed(ports, request, grant, MessageFilter(session_id=session_id), last_id or after)


@router.get("/instances/{instance_id}/feed", responses=_ANSWERS, response_class=StreamingResponse)
async def instance_feed(
    request: Request, grant: MayRead, ports: Ports, instance_id: Id, after: After = None, last_id: LastId = None
) -> StreamingResponse:
    """What is said in a process instance, in any conversation, and how far it is, as it happens."""
    return await _feed(ports, request, grant, MessageFilter(instance=instance_id), last_id or after)


async def _feed(
    ports: _Ports, request: Request, grant: Grant, wanted: MessageFilter, after: str | None
) -> StreamingResponse:
    reader = Reader.of(request, ports.access, grant)
    if not await reader.sees(wanted, ports.feeds):
        raise HTTPException(404)
    place = None if after == NOW else Place.load(after or "")
    admitted = AsyncExitStack()
    try:
        await admitted.enter_async_context(ports.feeds.admitted(grant.who, shared=not grant.is_local))
    except TooMany as exc:
        raise HTTPException(429, str(exc)) from exc
    admitted.enter_context(ports.feeds.visited(wanted, grant.speaker))
    request.scope[FEED] = True
    told = Feed(ports.feeds, wanted, grant.limits, place, partial(reader.allowed, wanted, ports.feeds))
    return FeedResponse(told, admitted)


class FeedResponse(StreamingResponse):
    """Sends a feed; `admitted` is let go of when it ends, however that is."""

    def __init__(self, feed: Feed, admitted: AsyncExitStack) -> None:
        # Some proxies would gather the events before they pass them on.
        super().__init__(_texts(feed), media_type=EVENTS, headers={"X-Accel-Buffering": "no"})
        self._admitted = admitted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        async with self._admitted:
            await super().__call__(scope, receive, send)


async def _texts(feed: Feed) -> AsyncIterator[str]:
    async for event in feed.events():
        yield BEAT if event is None else event.as_text()
