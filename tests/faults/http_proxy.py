"""A proxy before an HTTP server. It hears the server out even if its client has gone, so it knows what happened."""

import asyncio
import contextlib
import io
import json
from typing import Any, Self

import aiohttp
from aiohttp import web
from yarl import URL

from tests.faults.history import Exchange, History
from tests.faults.proxy import Proxy, Rule, Said, left, reset
from worker.demo.processes import HOST

HOP_BY_HOP = {"host", "connection", "keep-alive", "content-length", "transfer-encoding", "accept-encoding"}


class HttpProxy(Proxy):
    """Stands before `target`, such as http://127.0.0.1:8080/engine-rest; `url` is its own address, same path."""

    def __init__(self, server: str, target: str, history: History) -> None:
        super().__init__(server, history)
        self.stand_before(target)
        self._runner = web.ServerRunner(web.Server(self._serve, access_log=None), shutdown_timeout=0.05)
        self._site: web.TCPSite | None = None
        self._under_way: set[asyncio.Task[web.StreamResponse]] = set()
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        # No pool: a server that was restarted must not look to clients as if its connections had broken.
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(None), auto_decompress=False
        )
        await self._runner.setup()
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()  # so that nothing new comes while what is under way ends
        await self._runner.cleanup()
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._session.close()

    def stand_before(self, target: str) -> None:
        """Hand everything on to another server from now on."""
        parts = target.split("/", 3)
        self._origin = "/".join(parts[:3])
        self._path = f"/{parts[3]}" if len(parts) > 3 else ""

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}{self._path}"

    async def up(self) -> None:
        """Accept connections, as after a restart of the server."""
        if self._site is None:
            self._site = web.TCPSite(self._runner, HOST, self.port)
            await self._site.start()

    async def down(self) -> None:
        """Refuse connections and reset those that are open, as after the death of the server."""
        if self._site is not None:
            site, self._site = self._site, None
            await site.stop()
            assert self._runner.server is not None
            for connection in self._runner.server.connections:
                reset(connection.transport)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve in a task of our own: aiohttp's ends late, or never, for a client that has gone."""
        task = asyncio.create_task(self._pass_on(request), name=f"{self.server} exchange")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await task

    async def _pass_on(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            raw = await request.content.read()
        except ConnectionError:  # the client died while it sent
            return web.Response()
        call = f"{request.method} {request.path_qs.removeprefix(self._path)}"
        text = raw.decode("utf-8", errors="replace")
        rule = self.rule(call, text)
        await asyncio.sleep(rule.wait)
        if rule.withholds:
            self.history.add(self.server, call, _parsed(text), text).end("withheld")
            return await self._reply(request, rule, web.Response())
        response = await self._ask(request, call, raw)
        if rule.twice:
            response = await self._ask(request, call, raw)
        return await self._reply(request, rule, response)

    async def _ask(self, request: web.BaseRequest, call: str, raw: bytes) -> web.Response | None:
        """The server's reply, None if there was none; noted either way."""
        text = raw.decode("utf-8", errors="replace")
        exchange = self.history.add(self.server, call, _parsed(text), text)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        url = f"{self._origin}{request.path_qs}"
        try:
            async with self._session.request(
                request.method,
                URL(url, encoded=True),
                data=io.BytesIO(raw) if raw else None,
                headers={**headers, "Accept-Encoding": "identity"},
                allow_redirects=False,
            ) as reply:
                body = await reply.read()
        except aiohttp.ClientConnectorError:
            exchange.end("withheld")  # there is no server
            return None
        except (aiohttp.ClientError, OSError):
            exchange.end("unknown")
            return None
        except asyncio.CancelledError:
            exchange.end("unknown")
            raise
        exchange.end("ok" if reply.status < 400 else "failed", _parsed(body.decode(errors="replace")), reply.status)
        kept = {name: value for name, value in reply.headers.items() if name.lower() not in HOP_BY_HOP}
        return web.Response(status=reply.status, body=body, headers=kept)

    async def _reply(self, request: web.BaseRequest, rule: Rule, response: web.Response | None) -> web.StreamResponse:
        await asyncio.sleep(rule.late)
        if rule.hang:
            await left(request.transport)
        if rule.cut or response is None:
            reset(request.transport)
            return web.Response()
        if isinstance(rule.say, Said):
            headers = {"Content-Type": rule.say.type, **dict(rule.say.headers)}
            response = web.Response(status=rule.say.status, body=rule.say.body.encode(), headers=headers)
        return await _dripping(request, response, rule.drip) if rule.drip else response


async def _dripping(request: web.BaseRequest, response: web.Response, rate: float) -> web.StreamResponse:
    body = response.body if isinstance(response.body, bytes) else b""
    stream = web.StreamResponse(status=response.status, headers={"Content-Type": response.content_type})
    stream.content_length = len(body)
    await stream.prepare(request)
    with contextlib.suppress(ConnectionError):  # the client had enough
        for byte in body:
            await stream.write(bytes([byte]))
            await asyncio.sleep(1 / rate)
    return stream


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def worker_of(exchange: Exchange) -> str | None:
    """The worker id that a request to the engine names."""
    return exchange.request.get("workerId") if isinstance(exchange.request, dict) else None
