"""Two workers on one Redis ask a provider no more than its limits allow, and nobody's retries are spent."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.flow.command import started
from tests.flow.rig import Rig
from tests.waiting import wait_until
from worker.operate import doctor
from worker.operate.doctor import Level

BURST_SECONDS = 6
LATE_SECONDS = 2
"""How much later than it was allowed a call may come: a worker that is short of CPU makes some at once then."""
PROVIDERS = """
providers:
  openai:
    api: conversations
    base_url: {url}
    key: env:FLOW_KEY
    limits: {limits}
"""


@pytest.fixture
def limited(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The rig, whose provider gets limits."""
    monkeypatch.setenv("FLOW_KEY", "test-key-never-logged")

    def limit(limits: str) -> Rig:
        file = tmp_path / "providers.yaml"
        file.write_text(PROVIDERS.format(url=rig.provider.base_url, limits=limits))
        rig.settings |= {"providers_file": file, "openai_base_url": None, "openai_api_key": None}
        return rig

    return limit


def began(rig: Rig) -> list[float]:
    """When the calls came that ask the model, in seconds."""
    return [float(each["at"]) for each in rig.provider.requests("responses.create") if each["body"]]


async def test_the_server_counts_no_call_too_many_from_two_workers(limited: Any) -> None:
    rig: Rig = limited("{requests_per_minute: 120}")
    model = await rig.deploy(rig.step("one"))
    environment = {"flow_key": "test-key-never-logged"}
    async with started(rig, **environment) as one, started(rig, **environment) as two:
        for worker in (one, two):
            await worker.until_ready()
        instances = await asyncio.gather(*(rig.rest.start(model) for _ in range(50)))
        for instance in instances:
            await rig.rest.wait_for_end(instance, 60)
        lines = [line for each in (one, two) for line in each.lines("turn")]
        _, metrics = await one.get("metrics")
    calls = began(rig)

    assert len(calls) == 50
    for first in calls:
        for seconds in (5, 10, 20):
            count = sum(first <= each < first + seconds for each in calls)
            assert count <= 2 * (seconds + BURST_SECONDS + LATE_SECONDS) + 1, (seconds, count)
    assert calls[-1] - calls[0] < 50 / 2 + 10, "the pace is used"
    assert {line["reason"] for line in lines if line["verdict"] == "park"} == {"rate limit"}
    assert {line["verdict"] for line in lines} == {"park", "complete"}
    assert 'worker_limit_wait_seconds_count{provider="openai"}' in metrics


async def test_no_more_calls_run_at_once_than_allowed(limited: Any) -> None:
    rig: Rig = limited("{at_once: 1}")
    rig.provider.fault("responses.create", hold="gate", times=1)
    for _ in range(2):
        await rig.start_worker()
    model = await rig.deploy(rig.step("one"))
    instances = [await rig.rest.start(model) for _ in range(3)]
    await wait_until(lambda: began(rig), what="a call")
    with pytest.raises(AssertionError):
        await wait_until(lambda: len(began(rig)) > 1, 8)
    rig.provider.release("gate")
    for instance in instances:
        await rig.rest.wait_for_end(instance, 60)

    assert len(began(rig)) == 3


async def test_a_429_while_no_limit_is_set_is_that_tasks_alone(rig: Rig) -> None:
    rig.provider.fault("responses.create", reply={"status": 429, "headers": {"retry-after": "3"}})
    await rig.start_worker()
    model = await rig.deploy(rig.step("one"))
    first = await rig.rest.start(model)
    failed = await rig.until_failed(first)
    await rig.run(model)
    await rig.rest.wait_for_end(first, 30)
    async with rig.redis() as redis:
        assert await redis.keys("*{limits:*") == []

    assert "too many requests" in failed["errorMessage"]


async def test_doctor_shows_the_limits(limited: Any) -> None:
    rig: Rig = limited("{at_once: 2, requests_per_minute: 300}")
    rows = await doctor.findings(rig.build_settings())
    [found] = [each for each in rows if each.subject == "limits"]

    assert (found.area, found.level) == ("provider openai", Level.OK)
    assert found.said.startswith("all workers together make 2 calls at once, 300 calls a minute at most")
