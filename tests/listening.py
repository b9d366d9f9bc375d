"""Servers of tests: an application on a free port of this machine."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from worker.demo.processes import HOST


@asynccontextmanager
async def listening(app: web.Application, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve it inside of the block; its address, without a path. The end waits for no client."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0, ssl_context=tls).start()
        yield f"http{'s' if tls else ''}://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
