"""What an orchestrator and Prometheus ask of a worker: alive? ready? and in numbers."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from worker.domain import foreign
from worker.errors import Permanent
from worker.runtime.bodies import read_most
from worker.runtime.version import VERSION
from worker.telemetry.metrics import LOOP_LAG
from worker.web.connections import Connections

TICK = timedelta(seconds=1)
CONNECTIONS = 50
LONGEST_CONNECTION = timedelta(seconds=30)
"""Answers take no time, so a connection that lives longer only waits; Prometheus opens another."""
LARGEST_ANSWER = 1_000_000
"""Bytes of /readyz that are read: whatever listens there need not be a worker."""
_PATIENCE = aiohttp.ClientTimeout(total=2)
_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what a worker may listen on, and this machine's own address


@asynccontextmanager
async def serve(
    host: str,
    port: int,
    reasons: Callable[[], list[str]],
    left_out: Callable[[], list[str]] = list,
    stopped: Callable[[], list[str]] = list,
    refused: Callable[[], list[str]] = list,
    look: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[int]:
    """Answer /livez, /readyz, /version and /metrics inside of the block, and yield the port; 0 lets the system choose.

    `reasons` names why no work is taken, and is empty when the worker is ready; `left_out` names what a worker that is
    ready does not serve all the same, `stopped` what operators have stopped, and `refused` what is written but not gone
    by. None may block. `look` brings up to date what is only looked at for /metrics, and may take a moment. Raises
    Permanent when the address cannot be had.
    """

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        why_not, more = reasons(), {"left_out": left_out(), "stopped": stopped(), "refused": refused()}
        said = {"ready": not why_not, "reasons": why_not} | {name: lines for name, lines in more.items() if lines}
        return web.json_response(said, status=503 if why_not else 200)

    async def version(_: web.Request) -> web.Response:
        return web.json_response({"version": VERSION})

    async def metrics(_: web.Request) -> web.Response:
        if look is not None:
            await look()
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    answers = {"/livez": livez, "/readyz": readyz, "/version": version, "/metrics": metrics}
    app.add_routes([web.get(path, answer) for path, answer in answers.items()])
    # Probes are short: a stop waits for none of them.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        listening = await _listen(runner, host, port)
        try:
            yield listening.sockets[0].getsockname()[1]
        finally:
            listening.close()
    finally:
        await runner.cleanup()


async def left_out_at(host: str, port: int) -> list[str]:
    """Ask the worker that listens there what it leaves out; nothing if nobody answers as a worker does."""
    host = _HERE.get(host, host)
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}/readyz"
    try:
        async with aiohttp.ClientSession(timeout=_PATIENCE) as client, client.get(address) as reply:
            said = foreign.read(await read_most(reply.content.iter_any(), LARGEST_ANSWER) or b"")
    except (aiohttp.ClientError, OSError, ValueError):
        return []
    named = said.get("left_out") if isinstance(said, dict) else None
    return [str(each) for each in named] if isinstance(named, list) else []


async def _listen(runner: web.AppRunner, host: str, port: int) -> asyncio.Server:
    # Never busy: an answer takes no time, so whatever lasts is the client's waiting.
    make = Connections(CONNECTIONS, LONGEST_CONNECTION).guard(runner.server, lambda _: False)  # type: ignore[arg-type] # set up
    try:
        return await asyncio.get_running_loop().create_server(make, host, port)
    except socket.gaierror as exc:
        raise Permanent(f"HEALTH_HOST={host}: is no address of this machine: {exc.strerror}") from exc
    except OSError as exc:
        match exc.errno:
            case errno.EADDRINUSE:
                text = f"HEALTH_PORT={port}: is taken on {host}; choose another, or 0 for a free one"
            case errno.EACCES:
                text = f"HEALTH_PORT={port}: needs rights that the worker does not have; choose one above 1023"
            case errno.EADDRNOTAVAIL:
                text = f"HEALTH_HOST={host}: is no address of this machine; 0.0.0.0 listens on all"
            case _:
                text = f"HEALTH_HOST={host} and HEALTH_PORT={port}: cannot be listened on: {exc.strerror}"
        raise Permanent(text) from exc


async def measure_lag(interval: timedelta = TICK) -> None:
    """Keep the metric of the event loop's lag up to date until cancelled.

    A tick that was due and late by n seconds says that something blocked the loop for about that long.
    """
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + interval.total_seconds()
        await asyncio.sleep(interval.total_seconds())
        LOOP_LAG.set(max(0.0, clock() - due))
