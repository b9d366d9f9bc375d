"""A provider that refuses one assistant's calls: its tasks wait, others' run, and one line says so."""

import asyncio
from typing import Any

import pytest
import structlog

from tests.flow.rig import Rig
from tests.waiting import wait_until
from worker import verdict


def lines(captured: list[Any], event: str) -> list[Any]:
    return [each for each in captured if each["event"] == event]


async def test_one_assistant_that_is_refused_holds_up_no_other(rig: Rig) -> None:
    rig.assistant("critic")
    bad = await rig.deploy(rig.step("bad", "critic"))
    good = await rig.deploy(rig.step("good"))
    rig.provider.fault("responses.create", text="Please do bad", times=None, reply="forbidden")
    refused = [await rig.rest.start(bad) for _ in range(25)]
    with structlog.testing.capture_logs() as captured:
        await rig.start_worker(max_tasks=5)
        await asyncio.gather(*(rig.run(good) for _ in range(5)))

    assert 1 <= len([each for each in rig.questions() if "Please do bad" in each]) <= 5
    assert len(lines(captured, "assistant_paused")) == 1
    assert lines(captured, "dependency_down") == []
    for instance in refused:
        [task] = await rig.rest.tasks(instance)
        assert (task["retries"], task["errorMessage"]) == (None, None)


async def test_an_assistant_that_is_no_longer_refused_goes_on_by_itself(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdict, "PAUSED_FOR", verdict.PAUSED_FOR / 60)
    monkeypatch.setattr("worker.pauses.SPREAD_SECONDS", 1.0)
    model = await rig.deploy(rig.step("one"))
    rig.provider.fault("responses.create", times=None, reply="forbidden")
    instances = [await rig.rest.start(model) for _ in range(5)]
    await rig.start_worker()
    await wait_until(lambda: rig.calls("responses.create") >= 2, 20, "a second try")
    rig.provider.clear_faults()

    for instance in instances:
        await rig.rest.wait_for_end(instance, 30)
