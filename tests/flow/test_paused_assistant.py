"""A provider that refuses one question, one assistant's calls, or every call: nobody else waits for whom it refuses."""

import asyncio
from collections import Counter
from typing import Any

import pytest
import structlog

from tests.flow.rig import Rig
from tests.waiting import wait_until
from worker.turn import verdict

PAGE = {
    "status": 403,
    "text": "<html><title>Attention Required!</title><h1>Sorry, you have been blocked</h1></html>",
    "headers": {"Content-Type": "text/html"},
}
"""What a web firewall says to words that it does not like."""


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of a second, and tasks that come back within another."""
    monkeypatch.setattr(verdict, "PAUSED_FOR", verdict.PAUSED_FOR / 60)
    monkeypatch.setattr("worker.turn.pauses.SPREAD_SECONDS", 1.0)


def lines(captured: list[Any], event: str) -> list[Any]:
    return [each for each in captured if each["event"] == event]


def all_of(number: int, found: list[Any]) -> list[Any]:
    return found if len(found) >= number else []


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


@pytest.mark.usefixtures("short_pauses")
async def test_an_assistant_that_is_no_longer_refused_goes_on_by_itself(rig: Rig) -> None:
    model = await rig.deploy(rig.step("one"))
    rig.provider.fault("responses.create", times=None, reply="forbidden")
    instances = [await rig.rest.start(model) for _ in range(5)]
    await rig.start_worker()
    await wait_until(lambda: rig.calls("responses.create") >= 2, 20, "a second try")
    rig.provider.clear_faults()

    for instance in instances:
        await rig.rest.wait_for_end(instance, 30)


async def test_a_page_for_one_question_holds_up_nobody_else(rig: Rig) -> None:
    model = await rig.deploy(
        rig.step("one", data_input="case", service_retries_delay="PT1H")
    )  # the poisoned tries once
    rig.provider.fault("responses.create", text="poisoned", times=None, reply=PAGE)
    poisoned = await rig.rest.start(model, {"case": "poisoned"})
    harmless = [await rig.rest.start(model, {"case": "harmless"}) for _ in range(10)]
    with structlog.testing.capture_logs() as captured:
        await rig.start_worker(max_tasks=1)
        await asyncio.gather(*(rig.rest.wait_for_end(each) for each in harmless))
        task = await rig.until_failed(poisoned)
        turns = await wait_until(lambda: all_of(11, lines(captured, "turn")), what="the lines of all turns")

    assert Counter(each["verdict"] for each in turns) == {"complete": 10, "fail": 1}, "nobody was sent away to wait"
    assert task["retries"] == 2
    assert "a page came, and not the provider's answer: look at what the question holds" in task["errorMessage"]
    assert "status 403" in task["errorMessage"]
    assert "blocked" not in task["errorMessage"]
    assert lines(captured, "assistant_paused") == lines(captured, "dependency_down") == []


async def test_a_question_that_always_gets_a_page_ends_in_an_incident(rig: Rig) -> None:
    model = await rig.deploy(rig.step("one", service_retries="2", service_retries_delay="PT1S"))
    rig.provider.fault("responses.create", times=None, reply=PAGE)
    instance = await rig.rest.start(model)
    await rig.start_worker()

    async def stopped() -> bool:
        [task] = await rig.rest.tasks(instance)
        return bool(task["retries"] == 0)

    await wait_until(stopped, what="the incident")
    assert rig.calls("responses.create") == 2


async def test_a_page_for_every_call_is_an_outage_and_costs_no_retry(rig: Rig) -> None:
    model = await rig.deploy(rig.step("one"))
    await rig.start_worker(max_tasks=1)
    await rig.run(model)
    with structlog.testing.capture_logs() as captured:
        rig.provider.fault(times=None, reply=PAGE)
        instances = [await rig.rest.start(model) for _ in range(4)]
        await wait_until(lambda: lines(captured, "dependency_down"), what="the outage to be seen")
        rig.provider.clear_faults()
        for instance in instances:
            await rig.rest.wait_for_end(instance, 30)

    [line] = lines(captured, "dependency_down")
    assert line["dependency"] == "provider"
    assert "a probe fared no better" in line["reason"]
    turns = [each for each in lines(captured, "turn") if each["verdict"] != "complete"]
    assert {each["verdict"] for each in turns} <= {"unlock"}


@pytest.mark.usefixtures("short_pauses")
async def test_pages_for_whatever_is_asked_pause_the_assistant_before_all_retries_are_gone(rig: Rig) -> None:
    model = await rig.deploy(rig.step("one"))
    rig.provider.fault("responses.create", times=None, reply=PAGE)
    instances = [await rig.rest.start(model) for _ in range(12)]
    with structlog.testing.capture_logs() as captured:
        await rig.start_worker(max_tasks=1)
        await wait_until(lambda: lines(captured, "assistant_paused"), what="the pause")
        await wait_until(lambda: rig.calls("responses.create") >= 5, 20, "two more tries")
        rig.provider.clear_faults()
        for instance in instances:
            await rig.rest.wait_for_end(instance, 60)

    assert len([each for each in lines(captured, "turn") if each["verdict"] == "fail"]) == 2


@pytest.mark.usefixtures("short_pauses")
async def test_one_task_that_the_provider_itself_refuses_does_not_decide_for_the_others(rig: Rig) -> None:
    model = await rig.deploy(
        rig.step("one", data_input="case", service_retries_delay="PT1H")
    )  # the poisoned tries once
    rig.provider.fault("responses.create", text="poisoned", times=None, reply="forbidden")
    poisoned = await rig.rest.start(model, {"case": "poisoned"})
    harmless = [await rig.rest.start(model, {"case": "harmless"}) for _ in range(4)]
    await rig.start_worker(max_tasks=1)
    for instance in harmless:
        await rig.rest.wait_for_end(instance, 30)
    task = await rig.until_failed(poisoned, 30)

    assert task["retries"] == 2
    assert "other tasks of this assistant are answered" in task["errorMessage"]
