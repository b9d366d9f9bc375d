"""After an outage one task goes first: a probe that works says little about what a turn needs."""

import asyncio
import time
from typing import Any

import pytest

from tests.flow.rig import Rig
from tests.waiting import wait_until
from worker.demo.model import ModelServer
from worker.loop import dependencies, poller
from worker.providers.openai import NOBODY
from worker.turn import verdict

SLOTS = 5
ASK = "responses.create"


@pytest.fixture(autouse=True)
def pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses, so that probes and parked tasks come back within the test."""
    monkeypatch.setattr(dependencies, "LONGEST_PAUSE_SECONDS", 0.6)
    monkeypatch.setattr("worker.turn.verdict.PAUSED_FOR", verdict.PAUSED_FOR / 60)


def probes(provider: ModelServer) -> int:
    return sum(NOBODY in each["path"] for each in provider.requests("conversations.retrieve"))


async def test_used_up_quota_costs_one_call_per_probe_and_nothing_else(rig: Rig) -> None:
    model = await rig.deploy(rig.step("one"))
    rig.provider.fault(ASK, times=None, reply="quota")
    instances = [await rig.rest.start(model) for _ in range(20)]
    await rig.start_worker(max_tasks=SLOTS)
    await wait_until(lambda: rig.calls(ASK) >= SLOTS + 6, 30, "the tasks that found out, and six more")

    assert rig.calls(ASK) - SLOTS <= probes(rig.provider) - 1, "the first probe came before the first task"
    for instance in instances:
        [task] = await rig.rest.tasks(instance)
        assert (task["retries"], task["errorMessage"]) == (None, None)
    rig.provider.clear_faults()
    for instance in instances:
        await rig.rest.wait_for_end(instance, 30)
    assert len(refused(rig)) + len(instances) == rig.calls(ASK)
    log = await rig.rest.get("history/external-task-log", processDefinitionKey=model.key, failureLog=True)
    assert log == []


async def test_one_turn_that_goes_well_opens_all_slots(rig: Rig) -> None:
    await outage(rig, hold_first="first", hold_others="others")
    await wait_until(lambda: len(running(rig)) == 1, what="the first turn after the outage")
    await asyncio.sleep(1)  # others would have come by now
    assert len(running(rig)) == 1
    released_at = time.time()
    rig.provider.release("first")
    await wait_until(lambda: len(running(rig)) == SLOTS, what="all slots in use")

    accepted = [each["at"] for each in rig.provider.requests(ASK) if each not in refused(rig)]
    assert sorted(accepted)[1] >= released_at
    rig.provider.release("others")


async def test_slow_turn_keeps_the_others_waiting_for_a_while_only(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poller, "TRIAL_SECONDS", 2.0)
    await outage(rig, hold_first="for ever", hold_others="others")
    await wait_until(lambda: len(running(rig)) == SLOTS, what="all slots in use, one by the slow turn")

    first, second, *_ = sorted(each["at"] for each in rig.provider.requests(ASK) if each not in refused(rig))
    assert second - first > 1, "counted from the fetch; how soon a call comes after that depends on the machine"
    rig.provider.release("for ever")
    rig.provider.release("others")


async def outage(rig: Rig, hold_first: str, hold_others: str) -> None:
    """Let a worker with ten tasks before it find the quota used up, and the provider well, but slow, after that."""
    model = await rig.deploy(rig.step("one"))
    rig.provider.fault(ASK, times=SLOTS, reply="quota")
    rig.provider.fault(ASK, times=1, hold=hold_first)
    rig.provider.fault(ASK, times=None, hold=hold_others)
    for _ in range(10):
        await rig.rest.start(model)
    await rig.start_worker(max_tasks=SLOTS)


def running(rig: Rig) -> list[str]:
    turns: list[str] = rig.provider.counts()["running"]
    return turns


def refused(rig: Rig) -> list[dict[str, Any]]:
    return [each for each in rig.provider.requests(ASK) if each["status"] == 429]
