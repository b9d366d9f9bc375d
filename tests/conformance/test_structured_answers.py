"""Answers that have to fit a schema: where it stands, one repair, fields, and the business error."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.flow.rig import Rig
from tests.models import bpmn
from tests.waiting import wait_until

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["choice", "cost"],
    "properties": {"choice": {"enum": ["buy", "share"]}, "cost": {"type": "integer", "maximum": 100}},
}
GOOD = '{"choice": "share", "cost": 90}'
BAD = '{"choice": "steal", "cost": 900}'
ONE_TRY = {"service_retries": "1", "service_retries_delay": "PT1H"}  # the pause is for what is tried by itself


async def test_a_schema_in_the_task_goes_to_the_provider_and_is_checked_here(rig: Rig) -> None:
    rig.provider.answer(".", GOOD)
    model = await rig.deploy(rig.step("advise", data_output_schema=json.dumps(SCHEMA)))
    await rig.start_worker()
    instance = await rig.run(model)

    [request] = rig.provider.requests("responses.create")
    assert request["body"]["text"]["format"]["schema"] == SCHEMA
    assert json.loads((await rig.rest.variables(instance))["advise"]) == json.loads(GOOD)
    assert (await rig.meta(instance, "advise"))["repaired"] is False
    assert "Answer with one JSON value" in rig.questions()[0]


async def test_an_answer_that_does_not_fit_is_repaired_once_on_the_same_thread(rig: Rig) -> None:
    rig.provider.answer("Correction", GOOD)
    rig.provider.answer(".", BAD)
    model = await rig.deploy(rig.step("advise", data_output_schema=json.dumps(SCHEMA)))
    await rig.start_worker()
    instance = await rig.run(model)

    first, second = rig.questions()
    assert "Correction" not in first
    assert "$.choice: 'steal' is not one of ['buy', 'share']" in second
    assert "$.cost: 900 is greater than the maximum of 100" in second
    assert first.splitlines()[-1] != second.splitlines()[-1]
    assert rig.calls("conversations.create") == 1
    meta = await rig.meta(instance, "advise")
    assert (meta["repaired"], json.loads((await rig.rest.variables(instance))["advise"])) == (True, json.loads(GOOD))


@pytest.mark.parametrize("caught", [True, False])
async def test_a_second_bad_answer_is_the_models_business(rig: Rig, caught: bool) -> None:
    rig.provider.answer(".", BAD)
    wish: dict[str, Any] = {"error_invalid": "NO_ADVICE"} if caught else {"service_retries": "1"}
    step = rig.step("advise", data_output_schema=json.dumps(SCHEMA), **wish)
    model = await rig.deploy(replace(step, catches="NO_ADVICE") if caught else step)
    await rig.start_worker()

    if caught:
        instance = await rig.run(model)
        ended = await rig.rest.get("history/activity-instance", processInstanceId=instance)
        assert "advise_caught" in [each["activityId"] for each in ended]
    else:
        instance = await rig.rest.start(model)
        task = await rig.until_failed(instance)
        assert "the answer is invalid (properties/choice/enum; properties/cost/maximum)" in task["errorMessage"]
        assert "steal" not in task["errorMessage"]
        assert task["retries"] == 0
    assert len(rig.questions()) == 2


async def test_a_schema_comes_with_the_deployment(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "advice.schema.json").write_text("\ufeff" + json.dumps(SCHEMA), "utf-8")
    model = bpmn(rig.step("advise", data_output_schema="advice.schema.json"))
    await rig.rest.deploy(model, tmp_path / "advice.schema.json")
    rig.provider.answer("Correction", GOOD)
    rig.provider.answer(".", BAD)
    await rig.start_worker()
    instance = await rig.run(model)

    requests = rig.provider.requests("responses.create")
    assert [each["body"]["text"]["format"]["schema"] for each in requests] == [SCHEMA, SCHEMA]
    assert (await rig.meta(instance, "advise"))["repaired"] is True


@pytest.mark.parametrize("place", ["inline", "file"])
async def test_a_schema_comes_with_the_assistant_and_the_task_may_bring_another(rig: Rig, place: str) -> None:
    (rig.folder / "advice.schema.json").write_text(json.dumps(SCHEMA))
    said = json.dumps(SCHEMA) if place == "inline" else "advice.schema.json"
    (rig.folder / "adviser.md").write_text(
        f'---\nname: adviser\nversion: "1"\nmodel: gpt-5-mini\noutput_schema: {said}\n---\nAdvise.\n'
    )
    own = json.dumps({"type": "object", "required": ["why"]})
    model = await rig.deploy(rig.step("advise", "adviser"), rig.step("explain", "adviser", data_output_schema=own))
    rig.provider.answer("# Advise", GOOD)
    rig.provider.answer("# Explain", '{"why": "so"}')
    await rig.start_worker()
    instance = await rig.run(model)

    variables = await rig.rest.variables(instance)
    assert [json.loads(variables[name]) for name in ("advise", "explain")] == [json.loads(GOOD), {"why": "so"}]
    first = rig.provider.requests("responses.create")[0]
    assert first["body"]["text"]["format"]["schema"] == SCHEMA


async def test_the_fence_around_an_answer_is_taken_away(rig: Rig) -> None:
    model = await rig.deploy(rig.step("advise", data_output_schema=json.dumps(SCHEMA)))
    rig.provider.answer(".", f"```json\n{GOOD}\n```\n")
    await rig.start_worker()
    instance = await rig.run(model)

    assert json.loads((await rig.rest.variables(instance))["advise"]) == json.loads(GOOD)
    assert rig.calls("responses.create") == 1


async def test_retry_asks_anew_and_may_repair_again(rig: Rig) -> None:
    for _ in range(3):
        rig.provider.fault("responses.create", times=1, answer=BAD)
    rig.provider.answer(".", GOOD)
    model = await rig.deploy(rig.step("advise", data_output_schema=json.dumps(SCHEMA), **ONE_TRY))
    await rig.start_worker()
    instance = await rig.rest.start(model)
    task = await rig.until_failed(instance)
    await rig.rest.put(f"external-task/{task['id']}/retries", {"retries": 1})
    await rig.rest.wait_for_end(instance)

    corrections = ["Correction" in question for question in rig.questions()]
    assert corrections == [False, True, False, True]
    assert len({question.splitlines()[-1] for question in rig.questions()}) == 4
    assert (await rig.meta(instance, "advise"))["repaired"] is True


async def between_the_two_turns(rig: Rig) -> str:
    """Kill the worker while its correction runs, and free its task; the correction waits at the gate `repair`."""
    rig.provider.answer(".", BAD)
    rig.provider.fault("responses.create", text="Correction", times=1, hold="repair", answer=GOOD)
    model = await rig.deploy(rig.step("advise", data_output_schema=json.dumps(SCHEMA)))
    worker = await rig.start_worker()
    instance = await rig.rest.start(model)
    await wait_until(lambda: rig.calls("responses.create") == 2, what="the correction")
    await worker.kill()
    return instance


async def test_a_correction_that_outlives_its_worker_is_found_and_not_asked_again(rig: Rig) -> None:
    instance = await between_the_two_turns(rig)
    rig.provider.release("repair")
    await wait_until(lambda: not rig.provider.counts()["running"], what="the correction's answer")
    await start_another(rig, instance)
    await rig.rest.wait_for_end(instance)

    assert rig.calls("responses.create") == 2
    meta = await rig.meta(instance, "advise")
    assert (meta["repaired"], meta["recovered"]) == (True, "thread")


async def test_a_correction_that_died_with_its_worker_is_still_the_only_one(rig: Rig) -> None:
    rig.provider.answer("Correction", BAD)
    rig.provider.answer(".", BAD)
    rig.provider.fault("items.list", times=1, before=60)  # the look before the correction
    step = rig.step("advise", data_output_schema=json.dumps(SCHEMA), service_retries="1")
    model = await rig.deploy(step)
    worker = await rig.start_worker()
    instance = await rig.rest.start(model)
    await wait_until(lambda: rig.calls("items.list") == 1, what="the look before the correction")
    await worker.kill()
    await start_another(rig, instance)
    task = await rig.until_failed(instance)

    assert ["Correction" in question for question in rig.questions()] == [False, True]
    assert (task["retries"], "invalid" in task["errorMessage"]) == (0, True)


async def start_another(rig: Rig, instance: str) -> None:
    """Start a worker and see that it gets the task at once, not when the lock of the dead one runs out."""
    [task] = await rig.rest.tasks(instance)
    await rig.start_worker()

    async def handed_over() -> bool:  # the dead one's last poll may take the task again
        now = await rig.rest.tasks(instance)
        if now and now[0]["workerId"] == task["workerId"]:
            await rig.rest.post(f"external-task/{task['id']}/unlock")
        return not now or now[0]["workerId"] not in {None, task["workerId"]}

    await wait_until(handed_over, what="another worker to have the task")


async def test_a_correction_whose_thread_is_gone_puts_the_whole_question_to_a_new_one(rig: Rig) -> None:
    rig.provider.answer("Correction", GOOD)
    rig.provider.answer(".", BAD)
    rig.provider.fault("items.list", times=1, before=0.5)
    model = await rig.deploy(rig.step("advise", data_output_schema=json.dumps(SCHEMA)))
    await rig.start_worker()
    instance = await rig.rest.start(model)
    await wait_until(lambda: rig.calls("items.list") == 1, what="the look before the correction")
    [old] = rig.provider.conversations()
    rig.provider.forget(old)
    await rig.rest.wait_for_end(instance)

    meta = await rig.meta(instance, "advise")
    assert (meta["repaired"], meta["use"]) == (True, "recreated")
    [question] = rig.questions(meta["thread"])
    assert "Please do advise." in question
    assert "Correction" in question


@pytest.mark.parametrize(
    ("said", "content", "told"),
    [
        ("missing.json", "{}", "has no resource 'missing.json'; deploy it with the model"),
        ("schema.json", "{", "the resource 'schema.json' in property data.output.schema is no JSON"),
        (
            "schema.json",
            '{"type": 1}',
            "the resource 'schema.json' in property data.output.schema is no usable JSON Schema",
        ),
        ("{}}", "{}", "property data.output.schema is no JSON"),
        ('{"$ref": "http://127.0.0.1/x"}', "{}", "property data.output.schema is no usable JSON Schema: it refers to"),
    ],
)
async def test_a_schema_that_cannot_be_used_is_an_incident_without_a_call(
    rig: Rig, tmp_path: Path, said: str, content: str, told: str
) -> None:
    (tmp_path / "schema.json").write_text(content)
    model = bpmn(rig.step("advise", data_output_schema=said))
    await rig.rest.deploy(model, tmp_path / "schema.json")
    await rig.start_worker()
    instance = await rig.rest.start(model)
    await rig.until_failed(instance)

    [incident] = await rig.rest.incidents(instance)
    assert told in incident["incidentMessage"]
    assert "data.output.schema" in incident["incidentMessage"]
    assert "set the retries again" in incident["incidentMessage"]
    assert rig.calls("responses.create") == 0
