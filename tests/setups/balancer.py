"""A simple balancer before the nodes of an engine, as one of many stands before real ones."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from yarl import URL

from tests.listening import listening

PASSED = {"Content-Type", "Accept", "Authorization"}


@dataclass(slots=True)
class Balancer:
    """Hands each request to the next node in turn, or always to the first one that lives.

    Who cannot be reached is passed over. Where a connection breaks the client hears 502, and nobody is asked again.
    """

    nodes: Sequence[str]
    session: aiohttp.ClientSession
    in_turn: bool = True
    url: str = ""
    broken: int = 0
    passed: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        """Hand one request on."""
        body = await request.read()
        headers = {name: value for name, value in request.headers.items() if name in PASSED}
        path = request.raw_path.removeprefix("/engine-rest")
        first = len(self.passed) % len(self.nodes) if self.in_turn else 0
        for node in (*self.nodes[first:], *self.nodes[:first]):
            try:
                async with self.session.request(
                    request.method, URL(node + path, encoded=True), data=body or None, headers=headers
                ) as reply:
                    self.passed.append(node)
                    return web.Response(
                        status=reply.status, body=await reply.read(), content_type=reply.content_type or None
                    )
            except aiohttp.ClientConnectorError:
                continue
            except (aiohttp.ClientError, OSError):
                self.broken += 1
                return web.Response(status=502)
        return web.Response(status=503)


@asynccontextmanager
async def balancer(*nodes: str, in_turn: bool = True) -> AsyncIterator[Balancer]:
    """Listen on a free port before these REST interfaces."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(None)) as session:
        door = Balancer(nodes, session, in_turn)
        app = web.Application(client_max_size=0)
        app.router.add_route("*", "/{path:.*}", door.answer)
        async with listening(app) as address:
            door.url = f"{address}/engine-rest"
            yield door
