"""The worker's engine adapter as tests open it, engines that others run, and a server that says what it is told."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from tests.models import unique
from worker.demo.engine import Kind
from worker.engine import Connection, RestEngine


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """An engine that somebody else runs, such as CIB seven, by its REST address: an empty one that asks nobody's name.

    `kind` is that of engines that tests start beside it.
    """

    base_url: str
    kind: Kind
    user: str = "demo"
    password: str = "demo"


@asynccontextmanager
async def open_engine(url: str, **changes: Any) -> AsyncIterator[RestEngine]:
    """An adapter with a worker id of its own; `changes` are fields of Connection."""
    usual = Connection(url, unique("worker"), lock=timedelta(seconds=30), poll=timedelta(seconds=3))
    async with RestEngine.open(replace(usual, **changes)) as engine:
        yield engine


class Literal:
    """An HTTP server in name only: reads the head of one request per connection, writes given bytes and hangs up.

    The answers are given in order, the last one over and over; None keeps the connection open in silence.
    """

    def __init__(self, answers: Sequence[bytes | None]) -> None:
        self.answers = answers
        self.requests: list[str] = []
        self.url = ""

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
            answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
            if answer is None:
                await reader.read()
            else:
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # whoever asked has gone
        finally:
            writer.close()


@asynccontextmanager
async def literal(*answers: bytes | None, tls: ssl.SSLContext | None = None) -> AsyncIterator[Literal]:
    """A server that gives these answers."""
    server = Literal(answers)
    listening = await asyncio.start_server(server.talk, "127.0.0.1", 0, ssl=tls)
    port = listening.sockets[0].getsockname()[1]
    server.url = f"http{'s' if tls else ''}://127.0.0.1:{port}/engine-rest"
    try:
        yield server
    finally:
        listening.close()


def http(status: int, body: bytes | str = b"", content_type: str = "application/json", **headers: str) -> bytes:
    """A complete HTTP answer; an underscore in a header's name stands for a hyphen."""
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {content_type}", f"Content-Length: {len(data)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + data


def own_error(name: str = "RestException", code: int | None = 0, message: str = "no") -> str:
    """An error as engines write it."""
    return f'{{"type":"{name}","message":"{message}","code":{"null" if code is None else code}}}'
