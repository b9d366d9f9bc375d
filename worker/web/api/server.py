"""The HTTP server of the transcript, in the worker's own loop."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from worker.errors import Permanent
from worker.web.connections import Connections

STOP_SECONDS = 2
LONGEST_HEAD = 16 * 1024
LARGEST_MESSAGE = 64 * 1024
CONNECTIONS = 100
FEED = "feed"
"""Stands in the scope of a request whose answer goes on for hours: those have a bound of their own."""
PATIENCE = timedelta(seconds=10)
"""What a client may take to send a request's head, and to read each part of an answer."""


class _Server(uvicorn.Server):
    """Leaves signals to the worker, and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


class _Socket(WebSocketsSansIOProtocol):
    """One that refuses sockets without errors in the log, and leaves none half open."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.handshake_initiated:  # the whole head was there, with lines that are too long for this parser
            self.transport.close()

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True  # otherwise each refused one would be told to the log as an error


@asynccontextmanager
async def serve(app: ASGIApp, host: str, port: int) -> AsyncIterator[int]:
    """Answer inside of the block, and yield the port, which 0 leaves to the system.

    Leaving the block takes STOP_SECONDS and a little at most, whatever clients do. Raises Permanent when the address
    cannot be had.
    """
    listener = _listen(host, port)
    server = _Server(_configured(app))
    serving = asyncio.create_task(server.serve([listener]), name="api")
    try:
        # Whichever comes first: a server that cannot start never listens.
        listening = asyncio.create_task(server.listening.wait(), name="api listens")
        await asyncio.wait({serving, listening}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            listening.cancel()
            serving.result()
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await _ended(serving)
        listener.close()


def _configured(app: ASGIApp) -> uvicorn.Config:
    connections = Connections(CONNECTIONS, PATIENCE)
    return uvicorn.Config(
        app,
        # Not httptools, which is faster: uvicorn bounds a request's head with h11 alone.
        http=connections.guard(H11Protocol, _is_busy, _is_feed),  # type: ignore[arg-type] # only called
        # An open socket is busy always: whoever waits here is the client.
        ws=connections.guard(_Socket, lambda _: True, lambda _: True),  # type: ignore[arg-type] # only called
        ws_max_size=LARGEST_MESSAGE,
        ws_per_message_deflate=False,  # its windows would take more memory than all else of a socket
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # who asks is who is connected
        h11_max_incomplete_event_size=LONGEST_HEAD,
        timeout_graceful_shutdown=STOP_SECONDS,
    )


def _is_busy(protocol: H11Protocol) -> bool:
    # Mypy is not told that there is no cycle before the first request.
    return bool(protocol.cycle) and not protocol.cycle.response_complete


def _is_feed(protocol: H11Protocol) -> bool:
    return bool(protocol.scope) and FEED in protocol.scope


async def _ended(serving: asyncio.Task[None]) -> None:
    done, _ = await asyncio.wait({serving}, timeout=STOP_SECONDS + 1)
    if not done:
        serving.cancel()
        await asyncio.wait({serving}, timeout=1)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as exc:
        raise Permanent(f"API_HOST={host}: is no address of this machine: {exc.strerror}") from exc
    try:
        # Connections that were just closed keep an address for a minute: a worker that starts again would not get it.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind(address)
        listener.listen()
    except OSError as exc:
        listener.close()
        raise Permanent(_refusal(host, port, exc)) from exc
    return listener


def _refusal(host: str, port: int, exc: OSError) -> str:
    match exc.errno:
        case errno.EADDRINUSE:
            return f"API_PORT={port}: is taken on {host}; choose another, or 0 for a free one"
        case errno.EACCES:
            return f"API_PORT={port}: needs rights that the worker does not have; choose one above 1023"
        case errno.EADDRNOTAVAIL:
            return f"API_HOST={host}: is no address of this machine; 0.0.0.0 listens on all"
    return f"API_HOST={host} and API_PORT={port}: cannot be listened on: {exc.strerror}"
