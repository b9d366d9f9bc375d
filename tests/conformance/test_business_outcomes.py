"""Answers that are none: each outcome is the model's own business where the task names a code for it."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.flow.rig import Rig
from tests.models import ServiceTask, bpmn, call, catch, element, ends, line, path, process, sub_process, unique
from tests.waiting import wait_until
from worker.loop import delivery

OUTCOMES: dict[str, dict[str, Any]] = {
    "refused": {"outcome": "refused"},
    "filtered": {"outcome": "filtered"},
    "incomplete": {"outcome": "incomplete"},
    "failed": {"outcome": {"name": "failed", "code": "data_residency_mismatch"}},
    "empty": {"outcome": "empty"},
    "invalid": {"answer": "no JSON"},
}
CODES = {outcome: f"CODE_{outcome}" for outcome in OUTCOMES}


def spoil(rig: Rig, *outcomes: str) -> None:
    """An instance whose variable `case` names an outcome gets it."""
    for outcome in outcomes or OUTCOMES:
        rig.provider.fault("responses.create", text=f"case of {outcome}", times=None, **OUTCOMES[outcome])


def advise(rig: Rig, **properties: str) -> ServiceTask:
    return rig.step("advise", data_input="case", data_output_type="Json", **properties)


async def ended(rig: Rig, instance: str) -> set[str]:
    """The end events that the instance came to."""
    rows = await rig.rest.get("history/activity-instance", processInstanceId=instance, activityType="noneEndEvent")
    return {row["activityId"] for row in rows}


async def test_each_outcome_throws_its_own_code_to_its_own_boundary_event(rig: Rig) -> None:
    step = advise(rig, **{f"error_{outcome}": code for outcome, code in CODES.items()})
    catches = "".join(catch(outcome, "advise", code) for outcome, code in CODES.items())
    model = process(line(element(step)), catches, codes=CODES.values())
    await rig.rest.deploy(model)
    spoil(rig)
    await rig.start_worker()
    instances = {outcome: await rig.rest.start(model, {"case": f"case of {outcome}"}) for outcome in OUTCOMES}

    for outcome, instance in instances.items():
        await rig.rest.wait_for_end(instance)
        assert await ended(rig, instance) == {f"{outcome}_end"}
        assert "advise" not in await rig.rest.variables(instance)


async def test_an_event_sub_process_catches_an_outcome(rig: Rig) -> None:
    caught = (
        '<bpmn:startEvent id="caught"><bpmn:errorEventDefinition id="caught_definition" errorRef="error_NO"'
        ' camunda:errorCodeVariable="code"/></bpmn:startEvent>'
    )
    handler = sub_process(
        "handler", caught, ends("handled"), path("caught", "handled"), attributes='triggeredByEvent="true"'
    )
    model = process(line(element(advise(rig, error_refused="NO"))), handler, codes=["NO"])
    await rig.rest.deploy(model)
    spoil(rig, "refused")
    await rig.start_worker()
    instance = await rig.run(model, {"case": "case of refused"})

    assert await ended(rig, instance) == {"handled"}
    assert (await rig.rest.variables(instance))["code"] == "NO"


async def test_a_caller_catches_the_outcome_of_a_called_process(rig: Rig) -> None:
    child = process(line(element(advise(rig, error_filtered="NO"))), codes=["NO"])
    parent = process(line(call("ask", child)), catch("caught", "ask", "NO"), codes=["NO"])
    await rig.rest.deploy(child, parent)
    spoil(rig, "filtered")
    await rig.start_worker()
    instance = await rig.run(parent, {"case": "case of filtered"})

    assert await ended(rig, instance) == {"caught_end"}


async def test_an_outcome_without_a_code_is_a_failure_that_says_so_whatever_others_have_one(rig: Rig) -> None:
    models = {}
    for outcome in OUTCOMES:
        others = {f"error_{other}": "CODE" for other in OUTCOMES if other != outcome}
        step = element(advise(rig, service_retries="1", **others))
        models[outcome] = process(line(step), catch("caught", "advise", "CODE"), codes=["CODE"])
    await rig.rest.deploy(*models.values())
    spoil(rig)
    await rig.start_worker()
    instances = {name: await rig.rest.start(model, {"case": f"case of {name}"}) for name, model in models.items()}

    for outcome, instance in instances.items():
        task = await rig.until_failed(instance)
        assert task["retries"] == 0
        [incident] = await rig.rest.incidents(instance)
        assert f"the answer is {outcome}" in incident["incidentMessage"]
        assert f"set the property error.{outcome}" in incident["incidentMessage"]
        assert "no JSON" not in incident["incidentMessage"]


async def test_after_an_outcome_was_caught_the_thread_goes_on(rig: Rig) -> None:
    caught = catch("caught", "advise", "NO").replace('<bpmn:endEvent id="caught_end"/>', "")
    again = element(rig.step("caught_end", data_input="-"))
    model = process(
        line(element(advise(rig, error_refused="NO"))),
        caught,
        again,
        ends("over"),
        path("caught_end", "over"),
        codes=["NO"],
    )
    await rig.rest.deploy(model)
    spoil(rig, "refused")
    await rig.start_worker()
    instance = await rig.run(model, {"case": "case of refused"})

    assert await ended(rig, instance) == {"over"}
    assert rig.calls("conversations.create") == 1
    assert (await rig.meta(instance, "caught_end"))["use"] == "reused"


def local(rig: Rig, mapping: str) -> ServiceTask:
    """A task with a local result, an output mapping and a code for a refusal, which its boundary event catches."""
    step = advise(rig, error_refused="NO", data_output_scope="local")
    return replace(step, outputs={"kept": mapping}, catches="NO")


def guides_mapping() -> str:
    """What the guide says to write into an output mapping, for a result called advise."""
    text = (Path(__file__).parents[2] / "bpmn" / "README.md").read_text("utf-8")
    found = re.search(r"`estimated_eur` = `(.+?)`", text)
    assert found
    return found[1].replace("eur", "advise")


async def test_an_error_that_the_engine_refuses_becomes_an_incident_and_retry_throws_it_without_asking(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Output mappings run on errors too. Dropped, such an error came again with each lock, and nobody heard of it."""
    monkeypatch.setattr(delivery, "REFUSAL_PAUSES_SECONDS", (0.1, 0.1))
    step = local(rig, "${advise}")
    model = bpmn(replace(step, properties={**step.properties, "service.retries": "1"}))
    await rig.rest.deploy(model)
    spoil(rig, "refused")
    await rig.start_worker()
    instance = await rig.rest.start(model, {"case": "case of refused"})
    [incident] = await wait_until(lambda: rig.rest.incidents(instance), what="an incident")

    said = incident["incidentMessage"]
    for words in ("refused the BPMN error NO: 500 ", "Output mappings run on a BPMN error too", "without asking"):
        assert words in said
    [task] = await rig.rest.tasks(instance)
    calls = rig.calls("responses.create")
    await rig.rest.put(f"process-instance/{instance}/variables/advise", {"value": "a makeshift"})
    await rig.rest.put(f"external-task/{task['id']}/retries", {"retries": 1})
    await rig.rest.wait_for_end(instance)
    assert await ended(rig, instance) == {"advise_caught"}
    assert rig.calls("responses.create") == calls == 1


async def test_the_output_mapping_of_the_guide_copes_with_an_error_and_keeps_a_result(rig: Rig) -> None:
    model = bpmn(local(rig, guides_mapping()))
    await rig.rest.deploy(model)
    spoil(rig, "refused")
    rig.provider.answer("case of luck", '"yes"')
    await rig.start_worker()
    refused = await rig.run(model, {"case": "case of refused"})
    lucky = await rig.run(model, {"case": "case of luck"})

    assert (await ended(rig, refused), await ended(rig, lucky)) == ({"advise_caught"}, {"end"})
    assert (await rig.rest.variables(refused))["kept"] is None
    assert (await rig.rest.variables(lucky))["kept"] == '"yes"'


@pytest.mark.parametrize(("mapping", "works"), [(guides_mapping(), True), ("${advise}", False)])
async def test_an_event_or_a_deletion_takes_the_task_away_with_the_output_mapping_of_the_guide_and_no_plain_one(
    rig: Rig, mapping: str, works: bool
) -> None:
    message = unique("message")
    event = (
        '<bpmn:boundaryEvent id="late" attachedToRef="advise"><bpmn:messageEventDefinition messageRef="too_late"/>'
        f"</bpmn:boundaryEvent>{ends('late_end')}{path('late', 'late_end')}"
    )
    model = process(line(element(replace(local(rig, mapping), catches=""))), event)
    declared = f'<bpmn:message id="too_late" name="{message}"/><bpmn:process '
    await rig.rest.deploy(replace(model, xml=model.xml.replace("<bpmn:process ", declared, 1)))
    interrupted, deleted = await rig.rest.start(model), await rig.rest.start(model)
    sent = {"messageName": message, "processInstanceId": interrupted}
    statuses = [
        (await rig.rest.request("POST", "message", sent))[0],
        (await rig.rest.request("DELETE", f"process-instance/{deleted}"))[0],
    ]
    assert statuses == ([204, 204] if works else [500, 500])
