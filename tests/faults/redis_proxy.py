"""A proxy before Redis or Valkey that knows commands from replies, and our scripts by their names."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Self

from tests.faults.history import History
from tests.faults.proxy import Proxy, Rule, reset
from worker.demo.processes import HOST


def _digest(script: str) -> str:
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


SCRIPTS = {
    _digest(file.read_text()): file.name.removesuffix(".lua")
    for file in files("worker.redis").joinpath("scripts").iterdir()
}
BROKEN = (ConnectionError, asyncio.IncompleteReadError, OSError)


@dataclass(frozen=True, slots=True)
class RedisError:
    """An error that Redis replied."""

    text: str


@dataclass(slots=True)
class Frame:
    """One value of the protocol: its bytes and what they mean."""

    raw: bytes
    value: Any = None
    parts: list["Frame"] = field(default_factory=list)


async def read_frame(reader: asyncio.StreamReader) -> Frame:
    """Read one command or reply, RESP 2 or 3."""
    line = await reader.readuntil(b"\r\n")
    kind, rest = line[:1], line[1:-2]
    if kind in b"*~>%":
        size = int(rest) * (2 if kind == b"%" else 1)
        parts = [await read_frame(reader) for _ in range(size)]
        return Frame(line + b"".join(part.raw for part in parts), [part.value for part in parts], parts)
    if kind in b"$=!":
        if int(rest) < 0:
            return Frame(line)
        body = await reader.readexactly(int(rest) + 2)
        text = body[:-2].decode("utf-8", errors="replace")
        return Frame(line + body, RedisError(text) if kind == b"!" else text)
    if kind == b"-":
        return Frame(line, RedisError(rest.decode(errors="replace")))
    return Frame(line, int(rest) if kind == b":" else rest.decode(errors="replace"))


def name_of(arguments: Sequence[str]) -> str:
    """How a command is called here: `script enter` for one of ours, else the command in capitals."""
    command = arguments[0].upper() if arguments else ""
    if command == "EVALSHA":
        return f"script {SCRIPTS.get(arguments[1].lower(), 'unknown')}"
    if command == "EVAL":
        return f"script {SCRIPTS.get(_digest(arguments[1]), 'unknown')}"
    return command


class RedisProxy(Proxy):
    """Stands before a server on 127.0.0.1; `target` may be set to another port, as after a failover."""

    def __init__(self, server: str, target: int, history: History, database: int = 0) -> None:
        super().__init__(server, history)
        self.target = target
        self._database = database
        self._listening: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()
        self._transports: set[asyncio.WriteTransport] = set()

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/{self._database}"

    async def up(self) -> None:
        """Accept connections."""
        if self._listening is None:
            self._listening = await asyncio.start_server(self._accepted, HOST, self.port, limit=2**26)

    async def down(self) -> None:
        """Refuse connections and reset those that are open."""
        if self._listening is not None:
            listening, self._listening = self._listening, None
            listening.close()
        self.drop()

    def drop(self) -> None:
        """Reset the open connections only."""
        for transport in list(self._transports):
            reset(transport)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.create_task(self._serve(reader, writer), name=f"{self.server} connection")
        self._talks.add(talk)
        talk.add_done_callback(self._talks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._transports.add(writer.transport)
        try:
            await self._talk(reader, writer)
        except BROKEN:
            reset(writer.transport)
        finally:
            self._transports.discard(writer.transport)
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        below_reader, below = await asyncio.open_connection(HOST, self.target, limit=2**26)
        try:
            while True:
                command = await read_frame(reader)
                rule, reply = await self._exchange(command, (below_reader, below))
                if rule.hang:
                    await reader.read()  # until the client leaves
                if rule.hang or rule.cut:
                    reset(writer.transport)
                    return
                await _send(reply, rule.drip, writer)
        finally:
            below.close()

    async def _exchange(
        self, command: Frame, server: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    ) -> tuple[Rule, bytes]:
        """One command and what its client is to hear."""
        arguments = [str(each) for each in command.value or ()]
        call = name_of(arguments)
        rule = self.rule(call, " ".join(arguments))
        await asyncio.sleep(rule.wait)
        reply = b""
        if rule.withholds:
            self.history.add(self.server, call, arguments, " ".join(arguments)).end("withheld")
        else:
            for _ in range(1 + rule.twice):
                reply = await self._ask(command, call, arguments, server)
        await asyncio.sleep(rule.late)
        return rule, f"{rule.say}\r\n".encode() if isinstance(rule.say, str) else reply

    async def _ask(
        self,
        command: Frame,
        call: str,
        arguments: list[str],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> bytes:
        exchange = self.history.add(self.server, call, arguments, " ".join(arguments))
        reader, writer = server
        try:
            writer.write(command.raw)
            reply = await read_frame(reader)
        except (*BROKEN, asyncio.CancelledError):
            exchange.end("unknown")
            raise
        exchange.end("failed" if isinstance(reply.value, RedisError) else "ok", reply.value)
        return reply.raw


async def _send(reply: bytes, rate: float, client: asyncio.StreamWriter) -> None:
    for piece in [reply[at : at + 1] for at in range(len(reply))] if rate else [reply]:
        client.write(piece)
        await client.drain()
        await asyncio.sleep(1 / rate if rate else 0)
