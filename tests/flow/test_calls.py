"""What a task may cost, on the real engine: its calls are counted until a person sets its retries anew."""

from datetime import timedelta
from typing import Any

import pytest

from tests.flow.rig import SPEC, Rig
from tests.waiting import wait_until
from worker.providers import openai
from worker.turn import call, verdict

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have tries follow each other at once; how they are spread is another test's business."""
    monkeypatch.setattr(verdict, "SHORTEST_DELAY", timedelta(seconds=0.1))
    monkeypatch.setattr(verdict, "LONGEST_DELAY", timedelta(seconds=0.2))
    monkeypatch.setattr(call, "LANDING_TIME", timedelta(seconds=1))
    monkeypatch.setattr(openai, "LONGEST_PAUSE_SECONDS", 0.2)


async def until_incident(rig: Rig, instance: str) -> dict[str, Any]:
    async def made() -> dict[str, Any] | None:
        return next(iter(await rig.rest.incidents(instance)), None)

    incident: dict[str, Any] = await wait_until(made, 40, "the incident")
    return incident


async def set_retries(rig: Rig, instance: str, retries: int) -> None:
    """Do what Cockpit does."""
    [task] = await rig.rest.tasks(instance)
    await rig.rest.put(f"external-task/{task['id']}/retries", {"retries": retries})


@pytest.mark.parametrize("background", [False, True], ids=["at once", "in the background"])
async def test_a_timeout_that_is_too_short_costs_three_calls_and_retry_allows_as_many_again(
    rig: Rig, background: bool
) -> None:
    spec = SPEC.format(name="analyst", version="1.0", timeout=2)
    if background:
        spec = spec.replace("timeout_seconds", "background: true\ntimeout_seconds")
    (rig.folder / "analyst@1.0.md").write_text(spec)
    model = await rig.deploy(rig.step("one"))
    never: dict[str, Any] = {"hold": "gate"} if background else {"before": 600}
    rig.provider.fault("responses.create", times=4, **never)
    await rig.start_worker()
    instance = await rig.rest.start(model)
    incident = await until_incident(rig, instance)

    assert rig.calls("responses.create") == 3
    assert "3 calls of the model may have been paid" in incident["incidentMessage"]
    assert "3 ended without an answer: raise timeout_seconds" in incident["incidentMessage"]
    assert "above 2 s" in incident["incidentMessage"]

    await set_retries(rig, instance, 1)
    await rig.rest.wait_for_end(instance, 40)
    assert rig.calls("responses.create") == 5
    assert await rig.rest.incidents(instance) == []


async def test_answers_of_the_wrong_form_are_an_incident_that_names_the_schema_whatever_retries_are_left(
    rig: Rig,
) -> None:
    model = await rig.deploy(
        rig.step("one", data_output_type="Json", service_retries="9", service_retries_delay="PT1S")
    )
    rig.provider.answer("Please do one", "well, three")
    await rig.start_worker()
    instance = await rig.rest.start(model)
    incident = await until_incident(rig, instance)

    assert rig.calls("responses.create") == 3
    assert "3 brought an answer of no use: look at the question and its schema" in incident["incidentMessage"]


async def test_retries_that_are_raised_before_the_incident_allow_more_calls(rig: Rig) -> None:
    model = await rig.deploy(rig.step("one", service_calls="2", service_retries_delay="PT5S"))
    rig.provider.fault("responses.create", times=2, outcome="refused")
    await rig.start_worker()
    instance = await rig.rest.start(model)
    task = await rig.until_failed(instance)
    assert task["retries"] == 2
    await set_retries(rig, instance, 9)
    await rig.rest.wait_for_end(instance, 40)

    assert rig.calls("responses.create") == 3
