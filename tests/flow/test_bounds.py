"""What somebody made huge, deep or slow is one instance's trouble: ten beside it finish, and it says what is wrong."""

import asyncio
import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.flow.gateway import gateway
from tests.flow.rig import Rig
from tests.models import Model, element, line, process, sub_process, unique
from tests.waiting import wait_until
from worker.engine import client
from worker.telemetry.logs import Event

pytestmark = pytest.mark.timeout(120)


async def healthy(rig: Rig, model: Model, **variables: Any) -> None:
    """Ten instances with nothing odd about them, from their start to their end."""
    instances = [await rig.rest.start(model, variables) for _ in range(10)]
    await asyncio.gather(*(rig.rest.wait_for_end(each, 60) for each in instances))


async def incident_of(rig: Rig, schema: dict[str, Any]) -> dict[str, Any]:
    """What a task with this schema ends in, beside a healthy one that finishes."""
    model = await rig.deploy(rig.step("poisoned", data_input="-", data_output_schema=json.dumps(schema)))
    await rig.start_worker()
    instance = await rig.rest.start(model)
    await healthy(rig, await rig.deploy(rig.step("one", data_input="-")))
    await rig.until_failed(instance, 60)

    [incident] = await rig.rest.incidents(instance)
    return incident


async def test_a_definition_of_a_thousand_elements_within_each_other_is_named_and_stops_nothing(rig: Rig) -> None:
    inside = line(element(rig.step("deep", topic=unique("deep"))))
    for number in range(1000):
        inside = line(sub_process(f"sub_{number}", inside), start=f"start_{number}", end=f"end_{number}")
    # The Java of these tests refuses to deploy it; others take it.
    [definition] = await rig.rest.deploy(process(line(element(rig.step("shallow", topic=unique("deep"))))))
    sound = await rig.deploy(rig.step("one", data_input="-"))
    with capture_logs() as lines:
        async with gateway(rig.rest.base_url) as door:
            door.instead[f"/{definition}/xml"] = {"id": definition, "bpmn20Xml": process(inside).xml}
            worker = await rig.start_worker(engine_url=door.url, topics="", discovery_seconds=1)
            await healthy(rig, sound)
            await wait_until(lambda: [each for each in lines if each.get("definition") == definition], what="its name")
            await worker.stop()

    [said] = [each for each in lines if each["event"] == Event.TOPIC_NOT_SERVED and each["definition"] == definition]
    assert "too large to be served: it is nested deeper than 200 elements" in said["reason"]


def applied_again_and_again(levels: int = 40) -> dict[str, Any]:
    """A schema of some lines that is applied 2^40 times, to the property x."""
    parts = {f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(levels)}
    return {"$defs": parts | {f"a{levels}": {"type": "number"}}, "properties": {"x": {"$ref": "#/$defs/a0"}}}


@pytest.mark.parametrize(
    ("schema", "answer", "said"),
    [
        (
            {"properties": {"x": {"pattern": "^(a|a)*$"}}},
            {"x": "a" * 60 + "b"},
            "its pattern '^(a|a)*$' takes too long",
        ),
        (applied_again_and_again(), {"x": "no number"}, "it takes too many steps to compare with an answer"),
    ],
    ids=["pattern", "references"],
)
async def test_a_schema_that_would_be_applied_for_years_is_an_incident_that_keeps_the_answer(
    rig: Rig, schema: dict[str, Any], answer: dict[str, Any], said: str
) -> None:
    rig.provider.answer("# Poisoned", json.dumps(answer))
    sound = await rig.deploy(rig.step("one", data_input="-", data_output_schema='{"type": "object"}'))
    poisoned = await rig.deploy(rig.step("poisoned", data_input="-", data_output_schema=json.dumps(schema)))
    await rig.start_worker()
    instance = await rig.rest.start(poisoned)
    await healthy(rig, sound)
    task = await rig.until_failed(instance, 60)
    await rig.rest.put(f"external-task/{task['id']}/retries", {"retries": 1})

    async def again() -> bool:
        log = await rig.rest.get("history/external-task-log", processInstanceId=instance, failureLog=True)
        return len(log) == 2

    await wait_until(again, 60, "the second incident")
    [incident] = await rig.rest.incidents(instance)
    assert f"the schema cannot be applied to the answer, which is kept: {said}" in incident["incidentMessage"]
    assert len([each for each in rig.questions() if each.startswith("# Poisoned")]) == 1, "it was paid for once"


async def test_a_schema_that_costs_too_much_whatever_is_answered_is_known_before_anything_is_asked(rig: Rig) -> None:
    schema = applied_again_and_again()
    schema |= schema["properties"]["x"]
    incident = await incident_of(rig, schema)
    assert (
        "property data.output.schema is no usable JSON Schema: it takes too many steps" in incident["incidentMessage"]
    )
    assert not [each for each in rig.questions() if each.startswith("# Poisoned")]


@pytest.mark.parametrize("pattern", ["a{200000000}", "(a{2000}){2000}"])
async def test_a_pattern_that_comes_to_a_huge_one_is_known_before_it_is_built(rig: Rig, pattern: str) -> None:
    schema = {"type": "object", "properties": {"a": {"pattern": pattern}}}
    incident = await incident_of(rig, schema)
    assert "its counts multiply to more than" in incident["incidentMessage"]


async def test_a_json_variable_that_its_layout_would_make_huge_is_asked_as_it_is(rig: Rig) -> None:
    deep = "[" * 450 + ",".join(["1"] * 38_000) + "]" * 450
    wide = "[" * 100 + ",".join(["1"] * 30_000) + "]" * 100
    model = await rig.deploy(rig.step("poisoned", data_input="x"))
    await rig.start_worker()
    poisoned = [await rig.rest.start(model, {"x": {"type": "Json", "value": value}}) for value in (deep, wide)]
    await healthy(rig, await rig.deploy(rig.step("one", data_input="-")))
    await asyncio.gather(*(rig.rest.wait_for_end(each, 60) for each in poisoned))

    assert all(len(each) < 100_000 for each in rig.questions())


async def test_a_variable_of_three_hundred_kilobytes_nested_deep_is_an_incident_that_names_it(rig: Rig) -> None:
    value = "[" * 450 + ",".join(["1"] * 150_000) + "]" * 450
    model = await rig.deploy(rig.step("poisoned", data_input="x"))
    unasked = await rig.deploy(rig.step("unasked"))
    await rig.start_worker()
    instance = await rig.rest.start(model, {"x": {"type": "Json", "value": value}})
    await healthy(rig, await rig.deploy(rig.step("one", data_input="-")))
    await rig.run(unasked, {"x": {"type": "Json", "value": value}})
    await rig.until_failed(instance, 60)

    [incident] = await rig.rest.incidents(instance)
    assert "input 'x' comes to at least 300,9" in incident["incidentMessage"]
    assert "INPUT_TOKENS leaves room for 80,000" in incident["incidentMessage"]
    [question] = [each for each in rig.questions() if each.startswith("# Unasked")]
    assert question.partition("\n\n(ref")[0].endswith("Not included, for lack of room: x.")


async def test_a_task_whose_variables_are_too_much_for_a_poll_is_an_incident_and_large_ones_come_by_fewer(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "LARGEST_POLL", 1_000_000)
    text = {"type": "Json", "value": json.dumps("x" * 900_000)}
    large = await rig.deploy(rig.step("large"))
    huge = await rig.rest.start(large, {"one": text})
    await rig.rest.put(f"process-instance/{huge}/variables/two", text)
    others = [await rig.rest.start(large, {"one": text}) for _ in range(3)]
    await rig.start_worker()
    await healthy(rig, await rig.deploy(rig.step("one", data_input="-")))
    await asyncio.gather(*(rig.rest.wait_for_end(each, 60) for each in others))
    await rig.until_failed(huge, 60)

    [incident] = await rig.rest.incidents(huge)
    assert "have too many bytes for a poll's reply" in incident["incidentMessage"]
    assert incident["incidentMessage"].endswith("Correct the variable, then set the retries again.")

    # What it says can be done for the instance that runs.
    await rig.rest.delete(f"process-instance/{huge}/variables/two")
    [task] = await rig.rest.tasks(huge)
    await rig.rest.put(f"external-task/{task['id']}/retries", {"retries": 1})
    await rig.rest.wait_for_end(huge, 60)
