"""What stands between the worker and Redis in tests: TLS, delays and silence on the wire."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

HOST = "127.0.0.1"


@dataclass(slots=True)
class Wire:
    """A TCP proxy before one server on this machine. `delay_seconds` and `silent` hold for replies, from now on."""

    target_port: int
    delay_seconds: float = 0
    silent: bool = False
    port: int = 0
    connections: int = 0
    commands: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends it."""
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            there, back = await asyncio.open_connection(HOST, self.target_port)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._forward(reader, back))
                    group.create_task(self._reply(there, writer))
            finally:
                back.close()
        except* (OSError, _End):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)

    async def close(self) -> None:
        """End every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            self.commands += 1
            writer.write(data)
            await writer.drain()
        raise _End

    async def _reply(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await asyncio.sleep(self.delay_seconds)
            if not self.silent:
                writer.write(data)
                await writer.drain()
        raise _End


class _End(Exception):
    """One side has closed; the other one is closed then."""


@asynccontextmanager
async def wire(target_port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[Wire]:
    """Listen on a free port, with TLS before the server if wanted."""
    proxy = Wire(target_port)
    server = await asyncio.start_server(proxy.carry, HOST, 0, ssl=tls)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
        with contextlib.suppress(OSError):
            await server.wait_closed()
