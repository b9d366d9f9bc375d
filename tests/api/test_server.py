"""The server lives in somebody else's loop, and leaves it as it was."""

import asyncio
import signal
import socket
import time
from datetime import timedelta

import aiohttp
import pytest
from starlette.types import Receive, Scope, Send

from tests.waiting import wait_until
from worker.errors import Permanent
from worker.web import connections
from worker.web.api import serve, server


async def hello(scope: Scope, _: Receive, send: Send) -> None:
    """An application that takes its time below /slow."""
    if scope["path"] == "/slow":
        await asyncio.sleep(3600)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"hi"})


async def test_it_answers_inside_of_the_block_and_not_behind_it() -> None:
    async with aiohttp.ClientSession() as session:
        async with serve(hello, "127.0.0.1", 0) as port:
            assert await (await session.get(f"http://127.0.0.1:{port}/")).text() == "hi"
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(f"http://127.0.0.1:{port}/")


async def test_signals_stay_the_workers() -> None:
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    async with serve(hello, "127.0.0.1", 0):
        assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == before


async def test_a_stop_waits_for_no_client() -> None:
    async with aiohttp.ClientSession() as session:
        async with serve(hello, "127.0.0.1", 0) as port:
            slow = asyncio.create_task(session.get(f"http://127.0.0.1:{port}/slow"), name="slow")
            idle, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nHost: ")  # and no more of it
            await writer.drain()
            await wait_until(lambda: session.connector and session.connector._acquired)
            started = time.monotonic()
        assert time.monotonic() - started < 30, "otherwise it waits for the hour of /slow"
        assert (await slow).status == 500
        assert await idle.read() == b""
        writer.close()
        await writer.wait_closed()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("api")]


async def test_a_port_that_is_taken_is_said_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Permanent, match=f"API_PORT={port}: is taken on 127.0.0.1"):
            async with serve(hello, "127.0.0.1", port):
                pass


async def test_an_address_of_another_machine_is_said_so() -> None:
    with pytest.raises(Permanent, match=r"API_HOST=192\.0\.2\.1"):
        async with serve(hello, "192.0.2.1", 0):
            pass


async def test_what_goes_wrong_inside_of_the_block_comes_out_of_it() -> None:
    with pytest.raises(ZeroDivisionError):
        async with serve(hello, "127.0.0.1", 0):
            raise ZeroDivisionError


async def test_requests_are_answered_beside_300_connections_that_say_nothing() -> None:
    async with serve(hello, "127.0.0.1", 0) as port, aiohttp.ClientSession() as session:
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(300)]
        for _ in range(3):
            assert await (await session.get(f"http://127.0.0.1:{port}/")).text() == "hi"
        closed = [reader for reader, _ in idle if reader.at_eof()]
        for _, writer in idle:
            writer.close()
    assert len(closed) >= 300 - server.CONNECTIONS


async def test_whoever_says_half_a_request_or_reads_no_answer_is_hung_up_on_and_a_slow_answer_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "PATIENCE", timedelta(seconds=0.2))
    monkeypatch.setattr(connections, "SWEEP_SECONDS", 0.05)

    async def application(scope: Scope, _: Receive, send: Send) -> None:
        await asyncio.sleep(1 if scope["path"] == "/slow" else 0)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _part in range(200 if scope["path"] == "/endless" else 1):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async with serve(application, "127.0.0.1", 0) as port, aiohttp.ClientSession() as session:
        slow = asyncio.create_task(session.get(f"http://127.0.0.1:{port}/slow"), name="slow")
        half, half_writer = await asyncio.open_connection("127.0.0.1", port)
        half_writer.write(b"GET / HTTP/1.1\r\nHost: ")
        with socket.create_connection(("127.0.0.1", port)) as deaf:
            deaf.setblocking(False)
            deaf.send(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(20):
                assert await half.read() == b""
                assert len(await (await slow).read()) == 100_000
                await wait_until(lambda: _is_reset(deaf))
        half_writer.close()


def _is_reset(connection: socket.socket) -> bool:
    try:
        connection.send(b"x")
    except ConnectionResetError:
        return True
    return False
