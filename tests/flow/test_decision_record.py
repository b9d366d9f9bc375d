"""A decision's record from its first part to its signature, on whichever engine the tests run."""

import json
from typing import Any

import pytest

from tests.flow.command import Forked, environment
from tests.flow.conftest import BOTH_DATABASES
from tests.flow.rig import Rig
from tests.models import ServiceTask, element, line, process, unique
from tests.unit.decisions.examples import parts, scores
from tests.waiting import wait_until
from worker import bootstrap
from worker.demo.processes import HOST, free_port, running
from worker.domain.conversations import EVERYTHING
from worker.domain.decisions import Decision
from worker.export.verifying import verified
from worker.transcript import SqlDecisions, open_database

JUDGES = {"buyer": scores(), "maker": scores({"X": (100, 75, 20), "Y": (60, 65, 10), "Z": (40, 40, 20)})}

JUDGE = '${loopCounter == 0 ? "buyer" : "maker"}'


def part(rig: Rig, name: str, value: Any) -> ServiceTask:
    """A task that brings a part, and the answer to it."""
    rig.provider.answer(f"Please do {name}", json.dumps(value))
    return rig.step(name, record_part=name, data_input="-")


def panel(rig: Rig) -> ServiceTask:
    """Two judges, each asked once, on a conversation of its own."""
    for name, said in JUDGES.items():
        rig.assistant(name)
        rig.provider.answer(f"Please score as {name}", json.dumps(said))
    return ServiceTask(
        "scores",
        rig.topic,
        properties={
            "service.type": "assistant",
            "service.thread": "activity",
            "record.part": "scores",
            "data.input": "-",
        },
        inputs={"assistant": JUDGE, "prompt": f"Please score as {JUDGE}"},
        instances=len(JUDGES),
    )


def stage(topic: str, name: str, **properties: str) -> ServiceTask:
    said = {"service.type": "decision-record", "record.stage": name, "data.output": "decision"}
    return ServiceTask(name, topic, properties=said | {key.replace("_", "."): each for key, each in properties.items()})


async def test_a_decision_is_computed_proposed_signed_and_closed(kept: Rig) -> None:
    rig, records = kept, unique("records")
    given = parts()
    tasks = [part(rig, name, given[name]) for name in ("frame", "objectives", "alternatives", "weights")]
    tasks += [panel(rig), stage(records, "compute"), part(rig, "recommendation", given["recommendation"])]
    tasks += [stage(records, "propose")]
    close = stage(records, "close", record_accepted="approved", data_output_fields="accepted, void_reason")
    sign = '<bpmn:userTask id="sign" name="Sign" camunda:assignee="ben"/>'
    model = process(line(*map(element, tasks), sign, element(close)))
    await rig.rest.deploy(model)
    await rig.start_worker(topics=f"{rig.topic},{records}")
    instance = await rig.rest.start(model)

    async def to_sign() -> Any:
        incidents = await rig.rest.incidents(instance)
        assert incidents == [], [each["incidentMessage"] for each in incidents]
        return next((each["id"] for each in await rig.rest.get("task", processInstanceId=instance)), None)

    person = await wait_until(to_sign, 60, "a task for a person")
    await rig.rest.post(f"task/{person}/complete", {"variables": {"approved": {"value": True, "type": "Boolean"}}})
    await rig.rest.wait_for_end(instance)

    variables = await rig.rest.variables(instance)
    async with open_database(str(rig.settings["transcript_url"])) as database:
        book = SqlDecisions(database, engine="default")
        [listed] = (await book.decisions(within=EVERYTHING, instance=instance)).items
        found = await book.last(listed.key)
    assert found is not None
    said = json.loads(variables["decision"])
    assert (said["status"], said["revision"], said["leader"], said["agreement"]) == ("closed", 2, "Y", "agree")
    assert (variables["accepted"], variables["void_reason"]) == (True, "")
    assert variables["decision_sha256"] == found.record["content_sha256"]
    assert variables["decision_id"] == found.id
    assert sorted(found.record["content"]["scores"]) == ["buyer", "maker"]
    assert [row["kind"] for row in found.rows] == ["change", "change", "signature", "change"]
    assert found.rows[2]["facts"]["identity"] == "unproven", "this engine asks nobody's name"
    async with bootstrap.connect(rig.build_settings()) as adapters:
        told = await verified(found, adapters.sources)
    assert (told.problems, len(told.anchors)) == ([], 1)
    _check_source(found, await rig.meta(instance, "frame"))


def _check_source(kept: Decision, meta: dict[str, Any]) -> None:
    """A part's source leads to the message that holds it."""
    source = kept.record["sources"]["frame"]
    names = ("task", "answer", "question", "activity_instance", "instructions", "thread", "response")
    assert {name: source[name] for name in names} == {name: meta[name] for name in names}


@pytest.mark.parametrize("topics", ["found", "given"])
async def test_while_no_provider_can_be_reached_records_are_made_and_assistants_tasks_wait(
    kept: Rig, topics: str
) -> None:
    rig, records = kept, unique("records")
    given = {name: value for name, value in parts().items() if name != "recommendation"}
    named = ", ".join(f"{name}=agreed_{name}" for name in given)
    asking = await rig.deploy(rig.step("one"))
    record = await rig.deploy(stage(records, "compute", record_given=named))
    nowhere = f"http://{HOST}:{free_port()}/v1"
    await rig.start_worker(topics=f"{rig.topic},{records}" if topics == "given" else "", openai_base_url=nowhere)
    said = {name: value["one"] if name == "scores" else value for name, value in given.items()}
    waiting = await rig.rest.start(asking)
    made = await rig.rest.start(record, {f"agreed_{name}": value for name, value in said.items()})
    await rig.rest.wait_for_end(made)

    variables = await rig.rest.variables(made)
    assert json.loads(variables["decision"])["leader"] == "Y"
    [task] = await rig.rest.tasks(waiting)
    assert (task["workerId"], task["retries"]) == (None, None)


@BOTH_DATABASES
@pytest.mark.parametrize("point", ["before:decisions.keep", "after:decisions.keep", "before:engine.complete"])
async def test_a_death_between_computing_and_completing_leaves_one_revision(kept: Rig, point: str) -> None:
    given = {name: value for name, value in parts().items() if name != "recommendation"}
    named = ", ".join(f"{name}=agreed_{name}" for name in given)
    model = await kept.deploy(stage(kept.topic, "compute", record_given=named))
    said = {name: value["one"] if name == "scores" else value for name, value in given.items()}
    dying = Forked(environment(kept) | {"WORKER_FAIL_POINT": point})
    async with running(dying):
        instance = await kept.rest.start(model, {f"agreed_{name}": value for name, value in said.items()})
        assert await dying.exit_code() == -9
    await kept.start_worker()

    async def over() -> bool:
        for task in await kept.rest.tasks(instance):  # rather than wait until its lock is over
            if f"-{dying.pid}-" in str(task["workerId"]):
                await kept.rest.request("POST", f"external-task/{task['id']}/unlock")
        return await kept.rest.state(instance) == "COMPLETED"

    await wait_until(over, 40, "the end of the instance")
    async with open_database(str(kept.settings["transcript_url"])) as database:
        book = SqlDecisions(database, engine="default")
        [listed] = (await book.decisions(within=EVERYTHING, instance=instance)).items
        found = await book.last(listed.key)
    assert found is not None
    assert (found.record["revision"], len(found.rows)) == (1, 1)
    assert (await kept.rest.variables(instance))["decision_sha256"] == found.record["content_sha256"]
