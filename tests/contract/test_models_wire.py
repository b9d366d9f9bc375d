"""What happens below HTTP: connections that do not come about, break, or carry something else."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from aiohttp.client_proto import ResponseHandler
from opentelemetry.sdk.trace import TracerProvider

from tests.contract.apis import asking
from tests.contract.questions import KEY
from tests.fakes.engine import World
from tests.waiting import wait_until
from worker.demo.model import ModelServer
from worker.demo.processes import HOST, free_port
from worker.domain.providers import Api, ProviderSpec
from worker.errors import ModelDown, ModelUnknown, ProviderAway
from worker.providers import Client, OpenAIProvider, bounds
from worker.runtime.version import VERSION
from worker.telemetry import spans
from worker.telemetry.otel import OtelTracer

Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class RawServer:
    """Answers every request with the same bytes and hangs up. `heard` is what came."""

    reply: bytes
    scheme: str = "http"
    port: int = 0
    heard: list[bytes] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        return f"{self.scheme}://{HOST}:{self.port}/v1"

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heard.append(head)
            length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
            await reader.readexactly(int(length.partition(b":")[2]))
            writer.write(self.reply)
            await writer.drain()
        except asyncio.IncompleteReadError:
            pass  # the client hung up first
        finally:
            writer.close()


@asynccontextmanager
async def raw_server(reply: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    raw = RawServer(reply, scheme="https" if tls else "http")
    server = await asyncio.start_server(raw.converse, HOST, 0, ssl=tls)
    raw.port = server.sockets[0].getsockname()[1]
    async with server:
        yield raw


def http(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.mark.parametrize(
    "address",
    [
        "http://{host}:{closed}/v1",
        "http://no-such-host.invalid/v1",
        "https://{host}:{plain}/v1",
    ],
    ids=["refused", "no such name", "no TLS there"],
)
async def test_connection_that_never_came_about_asked_nothing(api: Api, address: str) -> None:
    async with ModelServer() as plain:
        base_url = address.format(host=HOST, closed=free_port(), plain=plain.port)
        async with asking(ProviderSpec(api=api, key=KEY, base_url=base_url)) as turns:
            with pytest.raises(ProviderAway, match=r"no connection \(ClientConnector"):
                await turns.ask()
            with pytest.raises(ProviderAway):
                await turns.provider.ping()
            if isinstance(turns.provider, OpenAIProvider):
                with pytest.raises(ProviderAway):
                    await turns.provider.create_thread({})


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
        http("200 OK", b"no gzip", "Content-Encoding: gzip"),
        http("200 OK", b'{"id": "\xff\xfe"}'),
        http("500 Oops", b"no gzip", "Content-Encoding: gzip"),
        http("200 OK", b""),
        http("204 No Content", b""),
        http("99 Odd", b"{}"),
    ],
    ids=lambda reply: repr(reply[:60]),
)
async def test_turn_whose_reply_cannot_be_read_may_have_run(api: Api, reply: bytes) -> None:
    async with raw_server(reply) as raw, asking(ProviderSpec(api=api, key=KEY, base_url=raw.base_url)) as turns:
        with pytest.raises(ModelUnknown):
            await turns.ask()
        assert len(raw.heard) == 1

        with pytest.raises(ModelDown):
            await turns.provider.ping()
        if isinstance(turns.provider, OpenAIProvider):
            with pytest.raises(ModelUnknown):
                await turns.provider.create_thread({})


@pytest.mark.parametrize("status", ["200 OK", "500 Oops"])
async def test_a_reply_that_is_longer_than_any_answer_is_not_read_to_its_end(
    api: Api, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "MOST_BYTES", 100_000)
    reply = http(status, b'{"id": "' + b"x" * 200_000 + b'"}')
    async with raw_server(reply) as raw, asking(ProviderSpec(api=api, key=KEY, base_url=raw.base_url)) as turns:
        with pytest.raises(ModelUnknown, match="the reply has more than 100000 bytes"):
            await turns.ask()


@pytest.mark.parametrize("status", ["200 OK", "500 Oops"])
async def test_a_reply_that_is_compressed_though_nobody_asked_for_it_is_not_unpacked(api: Api, status: str) -> None:
    reply = http(status, gzip.compress(b" " * 50_000_000), "Content-Encoding: gzip")
    async with raw_server(reply) as raw, asking(ProviderSpec(api=api, key=KEY, base_url=raw.base_url)) as turns:
        with pytest.raises(ModelUnknown, match="the reply is compressed, which was not asked for"):
            await turns.ask()
        assert b"accept-encoding: identity\r\n" in raw.heard[0].lower()


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
async def test_redirect_is_not_followed(api: Api, status: str) -> None:
    async with raw_server(http("200 OK", b'{"id": "resp_1"}')) as elsewhere:
        redirect = http(status, b"", f"Location: {elsewhere.base_url}/responses")
        spec = ProviderSpec(api=api, key=KEY)
        async with raw_server(redirect) as raw, asking(replace(spec, base_url=raw.base_url)) as turns:
            with pytest.raises(ModelDown, match="leads elsewhere"):
                await turns.ask()
        assert elsewhere.heard == []


async def test_what_the_environment_says_of_openai_goes_to_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-mine")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-mine")
    async with raw_server(http("200 OK", b'{"id": "conv_1"}')) as raw, OpenAIProvider.open(KEY, raw.base_url) as model:
        await model.create_thread({})

    assert b"org-mine" not in raw.heard[0]
    assert b"proj-mine" not in raw.heard[0]


async def test_a_provider_is_told_who_asks_unless_its_headers_say_something_else() -> None:
    async with raw_server(http("200 OK", b'{"id": "conv_1"}')) as raw:
        spec = ProviderSpec(key=KEY, base_url=raw.base_url)
        for headers in ({}, {"User-Agent": "somebody"}):
            async with Client.open(replace(spec, headers=headers)) as client:
                await OpenAIProvider(client).create_thread({})

    assert f"user-agent: assistant-worker/{VERSION}".encode() in raw.heard[0].lower()
    assert b"user-agent: somebody" in raw.heard[1].lower()


@pytest.mark.parametrize("always", [True, False])
async def test_a_provider_is_told_the_trace_only_where_that_is_handed_on(*, always: bool) -> None:
    task = World().start().task
    tracer = OtelTracer(TracerProvider(shutdown_on_exit=False), always=always)
    async with raw_server(http("200 OK", b'{"id": "conv_1"}')) as raw, OpenAIProvider.open(KEY, raw.base_url) as model:
        with spans.written_by(tracer), spans.task(task):
            await model.create_thread({})

    assert (b"traceparent: 00-" in raw.heard[0].lower()) is always


async def test_connection_that_the_server_closed_while_it_was_idle_is_not_used_for_another_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone, lost = list[ResponseHandler](), ResponseHandler.connection_lost

    def noted(connection: ResponseHandler, exc: BaseException | None) -> None:
        lost(connection, exc)
        gone.append(connection)

    monkeypatch.setattr(ResponseHandler, "connection_lost", noted)
    async with raw_server(http("200 OK", b'{"id": "conv_1"}')) as raw, OpenAIProvider.open(KEY, raw.base_url) as model:
        for number in range(1, 4):
            await model.create_thread({})
            assert len(raw.heard) == number
            await wait_until(lambda: len(gone) == number, what="the word that the server has hung up")  # noqa: B023 - awaited within the round
