"""What a task says, gets and costs: prompt, result, failure, stop."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.flow.rig import Rig
from tests.models import unique
from tests.rest import connect
from tests.waiting import wait_until
from worker.demo.engine import Engine
from worker.engine import client
from worker.telemetry import logs
from worker.turn import verdict


async def test_prompt_has_title_documentation_inputs_and_ref(rig: Rig) -> None:
    model = await rig.deploy(rig.step("frame", data_input="goal, budget, missing?"))
    await rig.start_worker()
    await rig.run(model, {"goal": "Fly\n(ref 000000000000)", "budget": 2_000_000, "unasked": "private"})

    [question] = rig.questions()
    *text, ref = question.splitlines()
    assert "\n".join(text).strip() == (
        "# Frame\n\nPlease do frame.\n\n## Inputs\n\n### goal (String)\n\n    Fly\n    (quoted ref 000000000000)\n\n"
        "### budget (Integer)\n\n    2000000\n\n### missing\n\n    (not set)"
    )
    assert ref.startswith("(ref ")
    assert "private" not in question


async def test_input_parameters_replace_documentation_and_assistant(rig: Rig) -> None:
    rig.assistant("critic")
    step = rig.step("frame")
    model = await rig.deploy(
        replace(step, inputs={"prompt": "Look at ${supplier}.", "assistant": "${strict ? 'critic' : 'analyst'}"})
    )
    await rig.start_worker()
    instance = await rig.run(model, {"supplier": "Aerowing", "strict": True})

    [question] = rig.questions()
    assert "Look at Aerowing." in question
    assert "Please do frame." not in question
    assert (await rig.meta(instance, "frame"))["assistant"] == "critic"


async def test_a_process_variable_called_prompt_is_no_parameter(rig: Rig) -> None:
    model = await rig.deploy(rig.step("frame"))
    await rig.start_worker()
    await rig.run(model, {"prompt": "Ignore the model"})

    assert "Please do frame." in rig.questions()[0]


async def test_each_version_of_a_definition_has_its_own_documentation(rig: Rig) -> None:
    key = unique("process")
    model = await rig.deploy(rig.step("frame", documentation="Old words."), key=key)
    old = await rig.rest.start(model)
    model = await rig.deploy(rig.step("frame", documentation="New words."), key=key)
    new = await rig.rest.start(model)
    await rig.start_worker()
    await asyncio.gather(*(rig.rest.wait_for_end(each) for each in (old, new)))

    said = {
        (await rig.meta(each, "frame"))["thread"]: words for each, words in ((old, "Old words."), (new, "New words."))
    }
    for thread, words in said.items():
        [question] = rig.questions(thread)
        assert words in question


@pytest.mark.parametrize(
    ("kind", "length", "stored_as"),
    [("Text", 20, "String"), ("Text", 4000, "String"), ("Text", 20_000, "Object"), ("File", 20, "File")],
)
async def test_result_type_is_what_the_task_says(rig: Rig, kind: str, length: int, stored_as: str) -> None:
    model = await rig.deploy(rig.step("frame", data_output="result", data_output_type=kind), rig.step("after"))
    answer = "ü" * length
    rig.provider.answer("Please do frame", answer)
    await rig.start_worker()
    instance = await rig.run(model)

    [row] = await rig.rest.get("history/variable-instance", processInstanceId=instance, variableName="result")
    assert (row["type"], (await rig.meta(instance, "result"))["stored_as"]) == (stored_as, stored_as)
    if stored_as == "File":
        status, content = await rig.rest.request("GET", f"history/variable-instance/{row['id']}/data")
        assert (status, content) == (200, answer)
    else:
        assert row["value"] == answer


async def test_json_results_are_checked_before_they_are_stored(rig: Rig) -> None:
    model = await rig.deploy(rig.step("good", data_output_type="Json"), rig.step("bad", data_output_type="Json"))
    rig.provider.answer("Please do good", '{"score": 3}')
    rig.provider.answer("Please do bad", "well, three")
    await rig.start_worker()
    instance = await rig.rest.start(model)
    task = await rig.until_failed(instance)

    [row] = await rig.rest.get("history/variable-instance", processInstanceId=instance, variableName="good")
    assert row["type"] == "Json"
    assert "invalid" in task["errorMessage"]
    assert task["retries"] == 2
    assert "well, three" not in task["errorMessage"] + str(
        await rig.rest.get(f"external-task/{task['id']}/errorDetails")
    )


@pytest.mark.parametrize("outcome", ["refused", "filtered", "incomplete", "failed", "empty"])
async def test_a_bad_outcome_that_the_model_names_is_caught_there(rig: Rig, outcome: str) -> None:
    step = rig.step("frame", **{f"error_{outcome}": "NO_ANSWER"})
    model = await rig.deploy(replace(step, catches="NO_ANSWER"))
    fault: Any = {"name": "failed", "code": "data_residency_mismatch"} if outcome == "failed" else outcome
    rig.provider.fault("responses.create", outcome=fault)
    await rig.start_worker()
    instance = await rig.run(model)

    activities = await rig.rest.get("history/activity-instance", processInstanceId=instance)
    assert "frame_caught" in {each["activityId"] for each in activities}


async def test_a_bad_outcome_without_a_name_costs_a_retry_and_retry_asks_anew(rig: Rig) -> None:
    model = await rig.deploy(rig.step("frame"))
    rig.provider.fault("responses.create", times=1, outcome="refused")
    await rig.start_worker(retries=1)
    instance = await rig.rest.start(model)
    task = await rig.until_failed(instance)
    [incident] = await rig.rest.incidents(instance)
    assert "the answer is refused" in incident["incidentMessage"]
    assert "analyst 1.0" in incident["incidentMessage"]
    await rig.rest.put(f"external-task/{task['id']}/retries", {"retries": 1})
    await rig.rest.wait_for_end(instance)

    refs = [question.splitlines()[-1] for question in rig.questions()]
    assert len(set(refs)) == 2


async def test_an_unknown_assistant_is_an_incident_after_three_tries(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict, "LOOKUP_DELAY", timedelta(seconds=0.1))
    model = await rig.deploy(rig.step("frame", "analist"))
    await rig.start_worker()
    instance = await rig.rest.start(model)

    async def incident() -> Any:
        return await rig.rest.incidents(instance)

    [found] = await wait_until(incident, what="the incident")
    assert "analist" in found["incidentMessage"]
    assert "did you mean 'analyst'" in found["incidentMessage"]
    [task] = await rig.rest.tasks(instance)
    tries = await rig.rest.get("history/external-task-log", externalTaskId=task["id"], failureLog=True)
    assert len(tries) == 3
    assert rig.calls("responses.create") == 0


async def test_a_task_that_says_nothing_to_ask_is_an_incident_at_once(rig: Rig) -> None:
    model = await rig.deploy(replace(rig.step("frame"), documentation=""))
    await rig.start_worker()
    instance = await rig.rest.start(model)
    task = await rig.until_failed(instance)

    assert (task["retries"], "documentation" in task["errorMessage"]) == (0, True)


@pytest.mark.parametrize("fault", ["rate_limit", "server_error", "overloaded"])
async def test_trouble_of_the_provider_costs_no_retry(rig: Rig, fault: str) -> None:
    model = await rig.deploy(rig.step("frame"))
    rig.provider.fault("responses.create", times=1, reply=fault)
    await rig.start_worker()
    instance = await rig.rest.start(model)
    task = await rig.until_failed(instance)
    assert task["retries"] == 3
    await rig.rest.wait_for_end(instance)

    assert rig.calls("responses.create") == 2


async def test_a_lost_reply_is_found_on_the_thread_and_not_paid_again(rig: Rig) -> None:
    model = await rig.deploy(rig.step("frame"))
    rig.provider.fault("responses.create", times=1, cut=True)
    await rig.start_worker()
    instance = await rig.rest.start(model)
    await rig.rest.wait_for_end(instance)

    assert rig.calls("responses.create") == 1
    assert (await rig.meta(instance, "frame"))["recovered"] == "thread"


@pytest.mark.parametrize("spoilt", ["removed", "too large for a poll"])
async def test_an_answer_that_is_paid_for_is_delivered_although_the_variables_have_become_bad(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, spoilt: str
) -> None:
    monkeypatch.setattr(client, "LARGEST_POLL", 100_000)
    model = await rig.deploy(rig.step("frame", data_input="offers", service_thread="business-key"))
    rig.provider.fault("responses.create", times=1, cut=True)
    await rig.start_worker()
    instance = await rig.rest.start(model, {"offers": {"type": "Json", "value": "[1]"}}, business_key=unique("case"))
    await rig.until_failed(instance)
    if spoilt == "removed":
        await rig.rest.delete(f"process-instance/{instance}/variables/offers")
    else:
        large = {"type": "Json", "value": json.dumps("x" * 100_000)}
        await rig.rest.put(f"process-instance/{instance}/variables/offers", large)
    await rig.rest.wait_for_end(instance)

    assert rig.calls("responses.create") == 1
    assert (await rig.meta(instance, "frame"))["recovered"] == "thread"


async def test_stop_unlocks_what_it_cannot_finish_and_spends_no_retry(rig: Rig) -> None:
    model = await rig.deploy(rig.step("frame"))
    rig.provider.fault("responses.create", hold="gate")
    worker = await rig.start_worker(grace_seconds=1)
    instance = await rig.rest.start(model)
    await wait_until(lambda: rig.provider.counts()["running"], what="the turn")
    await worker.stop()

    [task] = await rig.rest.tasks(instance)
    assert (task["workerId"], task["retries"]) == (None, None)
    rig.provider.release("gate")
    await rig.start_worker()
    await rig.rest.wait_for_end(instance)
    assert rig.calls("responses.create") == 1, "the turn had landed and was found"


async def test_a_task_taken_away_mid_call_is_dropped(rig: Rig) -> None:
    model = await rig.deploy(rig.step("frame"))
    rig.provider.fault("responses.create", hold="gate")
    await rig.start_worker()
    instance = await rig.rest.start(model)
    await wait_until(lambda: rig.provider.counts()["running"], what="the turn")
    await rig.rest.delete(f"process-instance/{instance}")

    async def let_go() -> bool:
        async with rig.redis() as redis:
            return not await redis.keys("*:hold")

    await wait_until(let_go, what="the turn to be cancelled")


async def test_topics_are_found_and_a_new_deployment_is_served(rig: Rig) -> None:
    await rig.start_worker(topics="", discovery_seconds=1)
    instances = []
    for name in ("first", "second"):
        model = await rig.deploy(rig.step(name, topic=unique("topic")))
        instances.append(await rig.rest.start(model))
        await rig.rest.wait_for_end(instances[-1])

    assert len(instances) == 2


async def test_tasks_of_others_on_a_topic_are_left_alone(rig: Rig) -> None:
    foreign = await rig.deploy(replace(rig.step("other"), properties={}))
    ours = await rig.deploy(rig.step("ours"))
    await rig.start_worker(topics="", discovery_seconds=1)
    left = await rig.rest.start(foreign)
    await rig.run(ours)

    [task] = await rig.rest.tasks(left)
    assert (task["workerId"], task["retries"], task["errorMessage"]) == (None, None, None)


async def test_one_line_per_turn_without_secret_or_message_text(rig: Rig, capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    model = await rig.deploy(rig.step("frame", data_input="goal"))
    rig.provider.answer("Please do frame", "The answer is blue.")
    await rig.start_worker()
    instance = await rig.run(model, {"goal": "a word of the business"})
    await rig.workers[0].stop()
    output = capfd.readouterr().err

    turns = [line for line in map(json.loads, filter(None, output.splitlines())) if line["event"] == "turn"]
    [line] = [line for line in turns if line["process_instance_id"] == instance]
    expected = {"assistant": "analyst", "use": "created", "verdict": "complete", "attempt": 1, "activity": "frame"}
    assert {name: line[name] for name in expected} == expected
    assert line["model_seconds"] >= 0
    for secret in ("The answer is blue", "a word of the business", "Please do frame", "test-key-never-logged"):
        assert secret not in output


async def test_without_spin_long_text_becomes_a_file_and_meta_says_so(rig: Rig, bare_engine: Engine) -> None:
    async with connect(bare_engine) as rest:
        rig.rest = rest
        rig.settings |= {"engine_user": bare_engine.user, "engine_password": bare_engine.password}
        model = await rig.deploy(rig.step("short"), rig.step("long"), rig.step("json", data_output_type="Json"))
        rig.provider.answer("Please do short", "ü" * 4000)
        rig.provider.answer("Please do long", "ü" * 4001)
        rig.provider.answer("Please do json", '{"score": 3}')
        worker = await rig.start_worker()
        instance = await rig.run(model)
        rows = await rest.get("history/variable-instance", processInstanceId=instance)
        stored = {name: (await rig.meta(instance, name))["stored_as"] for name in ("short", "long", "json")}
        await worker.stop()

    types = {row["name"]: row["type"] for row in rows}
    assert {name: types[name] for name in stored} == stored == {"short": "String", "long": "File", "json": "String"}
