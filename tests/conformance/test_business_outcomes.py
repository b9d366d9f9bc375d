"""Answers that are none: each outcome is the model's own business where the task names a code for it."""

from typing import Any

from tests.flow.rig import Rig
from tests.models import ServiceTask, call, catch, element, ends, line, path, process, sub_process

OUTCOMES: dict[str, dict[str, Any]] = {
    "refused": {"outcome": "refused"},
    "filtered": {"outcome": "filtered"},
    "incomplete": {"outcome": "incomplete"},
    "failed": {"outcome": {"name": "failed", "code": "invalid_prompt"}},
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
