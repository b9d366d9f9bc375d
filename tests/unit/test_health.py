import asyncio
import json
import time
from collections.abc import Callable
from datetime import timedelta

import aiohttp
import pytest
from prometheus_client import REGISTRY

from worker.errors import Permanent
from worker.runtime.version import VERSION
from worker.telemetry.metrics import LAST_POLL
from worker.web import health
from worker.web.health import LARGEST_ANSWER, left_out_at, measure_lag, serve

HOST = "127.0.0.1"


async def get(port: int, path: str) -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as client, client.get(f"http://{HOST}:{port}{path}") as reply:
        return reply.status, reply.headers["Content-Type"], await reply.text()


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - a metric wakes nobody
            await asyncio.sleep(0)


def lag() -> float:
    return REGISTRY.get_sample_value("worker_event_loop_lag_seconds") or 0.0


async def test_alive_as_long_as_the_loop_runs_also_when_not_ready() -> None:
    async with serve(HOST, 0, lambda: ["engine is down"]) as port:
        status, _, body = await get(port, "/livez")
    assert (status, body.strip()) == (200, "ok")


async def test_ready_follows_the_reasons() -> None:
    reasons: list[str] = ["engine is down", "redis is down"]
    async with serve(HOST, 0, lambda: reasons) as port:
        status, kind, body = await get(port, "/readyz")
        assert status == 503
        assert kind.startswith("application/json")
        assert body == '{"ready": false, "reasons": ["engine is down", "redis is down"]}'
        reasons.clear()
        status, _, body = await get(port, "/readyz")
        assert (status, body) == (200, '{"ready": true, "reasons": []}')


async def test_a_worker_that_leaves_something_out_is_ready_and_says_so() -> None:
    async with serve(HOST, 0, list, lambda: ["tasks on topic t are left out: no"]) as port:
        status, _, body = await get(port, "/readyz")
    assert (status, json.loads(body)) == (
        200,
        {"ready": True, "reasons": [], "left_out": ["tasks on topic t are left out: no"]},
    )


async def test_what_operators_have_stopped_is_said_by_a_ready_worker() -> None:
    async with serve(HOST, 0, list, list, lambda: ["topic t is stopped by ann"]) as port:
        status, _, body = await get(port, "/readyz")
    assert (status, json.loads(body)["stopped"]) == (200, ["topic t is stopped by ann"])


async def test_what_a_worker_leaves_out_can_be_asked_for_on_its_machine() -> None:
    reasons = ["engine is down"]
    async with serve("0.0.0.0", 0, lambda: reasons, lambda: ["t"]) as port:  # noqa: S104 - as in a container
        assert await left_out_at("0.0.0.0", port) == ["t"]  # noqa: S104 - as above
    assert await left_out_at(HOST, port) == []


async def test_no_more_is_read_than_a_worker_says_from_whatever_listens_in_its_place() -> None:
    async with serve(HOST, 0, list, lambda: ["t" * LARGEST_ANSWER]) as port:
        assert await left_out_at(HOST, port) == []


async def test_metrics_are_those_of_the_worker_in_prometheus_format() -> None:
    async with serve(HOST, 0, list) as port:
        status, kind, body = await get(port, "/metrics")
    assert status == 200
    assert kind.startswith("text/plain; version=")
    assert "# TYPE worker_event_loop_lag_seconds gauge" in body


async def test_a_scrape_shows_what_is_looked_at_for_it() -> None:
    async def look() -> None:
        LAST_POLL.set(1234)

    async with serve(HOST, 0, list, look=look) as port:
        _, _, body = await get(port, "/metrics")
    assert "worker_last_poll_timestamp_seconds 1234.0" in body


async def test_a_worker_tells_its_version() -> None:
    async with serve(HOST, 0, list) as port:
        status, _, body = await get(port, "/version")
    assert (status, json.loads(body)) == (200, {"version": VERSION})


async def test_a_taken_port_is_named() -> None:
    async with serve(HOST, 0, list) as port:
        with pytest.raises(Permanent) as caught:
            async with serve(HOST, port, list):
                pass
    assert str(caught.value) == (f"HEALTH_PORT={port}: is taken on 127.0.0.1; choose another, or 0 for a free one")


async def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(Permanent, match=r"^HEALTH_HOST=192\.0\.2\.1: is no address of this machine"):
        async with serve("192.0.2.1", 0, list):  # TEST-NET-1, assigned to nobody
            pass


async def test_the_port_is_free_again_afterwards() -> None:
    async with serve(HOST, 0, list) as port:
        await get(port, "/livez")
    async with serve(HOST, port, list) as again:
        assert again == port


async def test_an_open_connection_does_not_hold_up_the_end() -> None:
    async with aiohttp.ClientSession() as client:
        async with asyncio.timeout(30), serve(HOST, 0, list) as port:
            reply = await client.get(f"http://{HOST}:{port}/livez")
            await reply.read()
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.get(f"http://{HOST}:{port}/livez")


async def test_probes_are_answered_beside_300_connections_that_say_nothing() -> None:
    async with serve(HOST, 0, list) as port:
        idle = [await asyncio.open_connection(HOST, port) for _ in range(300)]
        assert (await get(port, "/livez"))[0] == 200
        assert (await get(port, "/metrics"))[0] == 200
        closed = [reader for reader, _ in idle if reader.at_eof()]
        for _, writer in idle:
            writer.close()
    assert len(closed) >= 300 - health.CONNECTIONS


async def test_a_blocked_loop_shows_as_lag_and_passes() -> None:
    measuring = asyncio.create_task(measure_lag(timedelta(milliseconds=10)), name="lag")
    try:
        await asyncio.sleep(0)  # it has begun, and waits for its first tick
        time.sleep(0.3)  # noqa: ASYNC251 - blocking is what is measured
        await until(lambda: lag() > 0.2)
        await until(lambda: lag() < 0.2)
    finally:
        measuring.cancel()
        await asyncio.wait([measuring])
    assert measuring.cancelled()
