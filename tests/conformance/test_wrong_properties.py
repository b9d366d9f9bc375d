"""Properties that cannot be meant so: an incident that names the property and what is allowed, and no call."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.flow.rig import Rig
from tests.models import Model, bpmn
from tests.waiting import wait_until
from worker.modelling import properties
from worker.operate.lint.checks import check
from worker.operate.lint.reading import read
from worker.operate.models.rules import Level
from worker.ports.fleet import REMEMBERED
from worker.redis.keys import wanted
from worker.specs import assistants

QUESTION = '[{"name": "fits", "type": "predicate", "instructions": "Does it fit?"}]'
RECORD = {"service.type": "decision-record", "record.stage": "compute"}
WRONG: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "no_assistant": ({"service.name": " "}, ("service.name", "input parameter assistant")),
    "version": ({"service.version": "7.0"}, ("analyst", "7.0", "Known: 1.0")),
    "assistant": ({"service.name": "analist"}, ("'analist'", "did you mean 'analyst'")),
    "brought": ({"service.name": "deployment:analyst"}, ("service.name", "deployment:<name>.md")),
    "thread": ({"service.thread": "process"}, ("service.thread", "instance, root, business-key, activity")),
    "timeout": ({"service.timeout": "5 minutes"}, ("service.timeout", "PT90S", "up to 3600 s")),
    "timeout_long": ({"service.timeout": "PT2H"}, ("service.timeout", "up to 3600 s")),
    "retries": ({"service.retries": "0"}, ("service.retries", "whole numbers from 1 to 100")),
    "retries_word": ({"service.retries": "three"}, ("service.retries", "whole numbers from 1 to 100")),
    "calls": ({"service.calls": "0"}, ("service.calls", "whole numbers from 1 to 100")),
    "delay": ({"service.retries.delay": "P1M"}, ("service.retries.delay", "PT5M", "up to 86400 s")),
    "type": ({"data.output.type": "json"}, ("data.output.type", "Text, Json, File")),
    "scope": ({"data.output.scope": "global"}, ("data.output.scope", "instance, local")),
    "fields": ({"data.output.fields": "a b"}, ("data.output.fields", "choice or cost=budget.total")),
    "fields_twice": ({"data.output.fields": "a,a"}, ("data.output.fields", "each name once")),
    "output": ({"data.output": "${name}"}, ("data.output", "no expression is evaluated")),
    "output_long": ({"data.output": "x" * 251}, ("data.output", "255 characters")),
    "code": ({"error.refused": "${code}"}, ("error.refused", "no expression is evaluated")),
    "outcome": ({"error.late": "LATE"}, ("error.late", "refused, filtered, incomplete, failed, empty, invalid")),
    "schema_of_text": (
        {"data.output.schema": '{"type": "object"}', "data.output.type": "Text"},
        ("data.output.schema", "data.output.type", "Json or File"),
    ),
    "fields_of_text": ({"data.output.fields": "a", "data.output.type": "Text"}, ("data.output.fields", "Json")),
    "field_is_result": (
        {"data.output.fields": "same", "data.output": "same"},
        ("data.output.fields", "name of the result itself"),
    ),
    "schema": ({"data.output.schema": "{"}, ("data.output.schema", "no JSON")),
    "required": ({"service.thread.required": "maybe"}, ("service.thread.required", "true, false")),
    "questions": ({"data.questions": "[]"}, ("data.questions", "1 to 400 questions")),
    "orders": (
        {"data.questions": QUESTION, "data.questions.orders": "2"},
        ("data.questions.orders", "no question has"),
    ),
    "answers": ({"data.input.answers": "critic"}, ("data.input.answers", "data.questions, which the task has not")),
    "confidence": ({"data.questions": QUESTION, "service.confidence": "2"}, ("service.confidence", "from 0 to 1")),
    "uncalibrated": ({"service.confidence.uncalibrated": "yes"}, ("service.confidence.uncalibrated", "allow")),
    "part": ({"record.part": "frames"}, ("record.part", "frame, objectives, alternatives")),
    "record_name": ({"record.part": "frame", "record.id": "1x"}, ("record.id", "a letter first")),
    "stage": (RECORD | {"record.stage": "sign"}, ("record.stage", "compute, propose, close")),
    "record_scope": (RECORD | {"record.scope": "all"}, ("record.scope", "instance, root")),
    "record_text": (RECORD | {"record.text": "yes"}, ("record.text", "true, false")),
    "given": (RECORD | {"record.given": "weights"}, ("record.given", "weights=agreed_weights")),
    "memory_subject": ({"memory.subject": "customer"}, ("memory.subject", "variable:<name>, business-key, tenant")),
    "memory_recall": ({"memory.subject": "tenant", "memory.recall": "0"}, ("memory.recall", "from 1 to 20, or off")),
    "memory_remember": ({"memory.subject": "tenant", "memory.remember": "no"}, ("memory.remember", "true, false")),
    "memory_approve": ({"memory.approve": "true"}, ("memory.approve", "means nothing without memory.subject")),
    "business_key": ({"service.thread": "business-key"}, ("service.thread", "no business key", "take instance")),
}
ONLY_OF_INSTANCES = {"business_key"}  # the model does not say whether an instance is started with one


async def long_wanted(rig: Rig, name: str, version: str) -> None:
    """Have Redis know that a task has wanted this assistant for longer than workers wait for one that has it."""
    chosen = rig.build_settings()
    since = datetime.now(UTC) - REMEMBERED - timedelta(minutes=1)
    async with rig.redis() as redis:
        await redis.set(wanted(chosen.redis_prefix, chosen.engine_name, name, version), int(since.timestamp() * 1000))


def errors_of_lint(model: Model, folder: Path, specs: Path) -> dict[str, list[str]]:
    """What lint says of a model, by the elements that it names."""
    (file := folder / "model.bpmn").write_text(model.xml)
    models, unread = read([file])
    assert unread == []
    found: dict[str, list[str]] = {}
    for each in check(models, assistants.load(specs)):
        if each.level is Level.ERROR:
            found.setdefault(each.element, []).append(each.said)
    return found


async def test_every_wrong_property_is_named_with_what_is_allowed_by_lint_and_before_anything_is_asked(
    rig: Rig, tmp_path: Path
) -> None:
    await long_wanted(rig, "analyst", "7.0")  # no worker that is being started is waited for any more
    right = rig.step("step").properties
    model = bpmn([replace(rig.step(name), properties={**right, **wrong}) for name, (wrong, _) in WRONG.items()])
    linted = errors_of_lint(model, tmp_path, rig.folder)
    assert linted.keys() == WRONG.keys() - ONLY_OF_INSTANCES
    for name, texts in linted.items():
        assert any(all(part in text for part in WRONG[name][1]) for text in texts), (name, texts)

    await rig.rest.deploy(model)
    await rig.start_worker()
    instance = await rig.rest.start(model)

    async def all_failed() -> dict[str, Any] | None:
        tasks = {task["activityId"]: task for task in await rig.rest.tasks(instance)}
        return tasks if all(task["errorMessage"] for task in tasks.values()) else None

    tasks = await wait_until(all_failed, what="a failure of every task")
    assert tasks.keys() == WRONG.keys()
    for name, (_, told) in WRONG.items():
        message = tasks[name]["errorMessage"]
        assert f"({name})" in message
        assert [part for part in told if part not in message] == [], message
    tried_again = {"assistant", "version"}  # another replica may know them
    assert {name for name, task in tasks.items() if task["retries"]} == tried_again
    incidents = await rig.rest.incidents(instance)
    assert {each["activityId"] for each in incidents} == WRONG.keys() - tried_again
    assert rig.calls("responses.create") + rig.calls("conversations.create") == 0


def test_no_property_that_can_be_wrong_was_forgotten() -> None:
    tried = {name for wrong, _ in WRONG.values() for name in wrong}
    names = {"record.signed", "record.accepted", "record.answer", "memory.signed", "memory.accepted"}
    anything_goes = {"service.type", "data.input", "error.<outcome>"} | names
    assert {each.name for each in properties.PROPERTIES} - anything_goes <= tried


async def test_a_task_has_as_many_tries_as_it_says_and_as_far_apart(rig: Rig) -> None:
    twice = rig.step("twice", service_retries="2", service_retries_delay="PT1S")
    late = rig.step("late", service_retries="7", service_retries_delay="PT2H")
    model = await rig.deploy([twice, late])
    rig.provider.fault("responses.create", times=None, outcome="refused")
    await rig.start_worker()
    instance = await rig.rest.start(model)

    async def incident() -> Any:
        return await rig.rest.incidents(instance)

    [found] = await wait_until(incident, what="the incident")
    assert found["activityId"] == "twice"

    async def failed() -> dict[str, Any] | None:  # of two on one thread the other may come second
        tasks = {task["activityId"]: task for task in await rig.rest.tasks(instance)}
        return tasks if tasks["late"]["errorMessage"] else None

    tasks = await wait_until(failed, what="a failure of the other task")
    log = await rig.rest.get("history/external-task-log", externalTaskId=tasks["twice"]["id"], failureLog=True)
    assert (len(log), tasks["twice"]["retries"]) == (2, 0)
    assert tasks["late"]["retries"] == 6
    free_again = datetime.strptime(tasks["late"]["lockExpirationTime"], "%Y-%m-%dT%H:%M:%S.%f%z")
    assert timedelta(hours=1.9) < free_again - datetime.now(UTC) <= timedelta(hours=2)


async def test_a_task_waits_for_an_answer_as_long_as_it_says(rig: Rig) -> None:
    model = await rig.deploy([rig.step("hasty", service_timeout="PT1S"), rig.step("calm", service_thread="activity")])
    rig.provider.fault("responses.create", times=None, during=2)
    await rig.start_worker()
    instance = await rig.rest.start(model)
    task = await rig.until_failed(instance)

    assert task["activityId"] == "hasty"
    assert "within 1 s" in task["errorMessage"]
    assert task["retries"] == 3, "the provider may be slow for reasons that are not the task's"
    await wait_until(lambda: calm_is_done(rig, instance), what="the answer to the other task")


async def calm_is_done(rig: Rig, instance: str) -> bool:
    return "calm" in await rig.rest.variables(instance)
