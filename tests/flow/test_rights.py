"""An engine that asks who may do what, and gives no list without a limit: each feature with its rights, and without."""

import json
from pathlib import Path
from typing import Any

from tests.flow.rig import Rig
from tests.flow.strict import User, strict, user
from tests.models import ServiceTask, bpmn, line, process
from tests.rest import MOST
from tests.waiting import wait_until
from worker import bootstrap
from worker.engine.info import DEFINITION, DEPLOYMENT, TO_HAND_OVER
from worker.operate import doctor
from worker.operate.doctor import Finding, Level

__all__ = ["strict", "user"]

SCHEMA = '{"type": "object", "required": ["choice"], "properties": {"choice": {"type": "string"}}}'
FILE = {"value": "U2VjcmV0IHBsYW4u", "type": "File", "valueInfo": {"filename": "plan.txt", "mimeType": "text/plain"}}


def with_schema(rig: Rig) -> ServiceTask:
    rig.provider.answer("Please do check", '{"choice": "A"}')
    return rig.step("check", data_output_schema="check.json", data_input="-")


async def deploy_with_schema(rig: Rig, *steps: ServiceTask) -> str:
    """Deploy a model and its schema; its key."""
    model = bpmn(*steps)
    folder = rig.folder.parent
    (folder / "model.bpmn").write_text(model.xml)
    (folder / "check.json").write_text(SCHEMA)
    await rig.rest.deploy(folder / "model.bpmn", folder / "check.json")
    return model.key


async def until_incident(rig: Rig, instance: str) -> str:
    async def message() -> str | None:
        return next((each["incidentMessage"] for each in await rig.rest.incidents(instance)), None)

    said: str = await wait_until(message, what="an incident")
    return said


async def test_the_listed_rights_are_all_that_any_feature_needs(strict: Rig, user: User) -> None:
    await user.may_all_but()
    called = bpmn(strict.step("rate", service_thread="root", data_input="-"))
    await strict.rest.deploy(called)
    call = f'<bpmn:callActivity id="call" calledElement="{called.key}"/>'
    caller = process(line(call))
    await strict.rest.deploy(caller)
    key = await deploy_with_schema(strict, with_schema(strict), strict.step("look", data_input="plan"))
    await strict.start_worker(topics=())

    instance = await strict.rest.start(key, {"plan": FILE})
    calling = await strict.rest.start(caller)
    for each in (instance, calling):
        await strict.rest.wait_for_end(each)

    assert any("Secret plan." in question for question in strict.questions())
    async with bootstrap.connect(strict.build_settings()) as adapters:
        engine = adapters.engine
        assert (await engine.info()).lacking == ()
        assert (await engine.activity_states(instance))["look"] == "done"
        assert await engine.locked() == []
        assert set(await engine.instances.ended([instance, calling])) == {instance, calling}
        traces = await engine.instances.traces(instance, results=True)
        for trace in traces:
            await engine.instances.wipe(trace)
        assert await engine.instances.traces(instance) == []
    names = {trace.name for trace in traces}
    assert {"assistant_thread_analyst", "look", "look_meta", "check_meta"} <= names


async def test_a_schema_that_may_not_be_read_is_an_incident_of_its_task_alone(strict: Rig, user: User) -> None:
    await user.may_all_but("READ on deployments")
    key = await deploy_with_schema(strict, with_schema(strict))
    fine = await strict.deploy(strict.step("frame"))
    await strict.start_worker(topics=())

    instance = await strict.rest.start(key)
    said = await until_incident(strict, instance)
    await strict.run(fine)

    assert "'check.json'" in said
    assert "the engine denies us a right: 403 AuthorizationException" in said
    assert "'READ' permission on resource" in said
    assert "of type 'Deployment'" in said
    assert "grant it to the worker's user. Correct it, then set the retries again." in said

    await user.may("READ", DEPLOYMENT)
    [task] = await strict.rest.tasks(instance)
    await strict.rest.put(f"external-task/{task['id']}/retries", {"retries": 1})
    await strict.rest.wait_for_end(instance)


async def test_a_file_that_may_not_be_read_is_an_incident_of_its_task_alone(strict: Rig, user: User) -> None:
    await user.may_all_but("READ_INSTANCE_VARIABLE on process definitions")
    model = await strict.deploy(strict.step("look", data_input="plan"))
    fine = await strict.deploy(strict.step("frame"))
    await strict.start_worker(topics=())

    said = await until_incident(strict, await strict.rest.start(model, {"plan": FILE}))
    await strict.run(fine)

    assert "the variable 'plan' cannot be read" in said
    assert "READ_INSTANCE_VARIABLE" in said


async def test_a_caller_that_may_not_be_seen_is_an_incident_and_no_other_thread(strict: Rig, user: User) -> None:
    """Engines hide what we may not see, so that the called process would look like one that nobody calls."""
    called = bpmn(strict.step("rate", service_thread="root", data_input="-"))
    await strict.rest.deploy(called)
    caller = process(line(f'<bpmn:callActivity id="call" calledElement="{called.key}"/>'))
    await strict.rest.deploy(caller)
    for permission in ("READ", "READ_INSTANCE", "UPDATE_INSTANCE", "READ_HISTORY"):
        await user.may(permission, DEFINITION, called.key)
    await strict.start_worker(topics=())

    instance = await strict.rest.start(caller)
    said = await until_incident(strict, await called_by(strict, instance))

    assert "the process that calls this one cannot be seen" in said
    assert "READ_INSTANCE" in said
    assert strict.provider.conversations() == {}


async def test_a_user_who_may_not_complete_stops_no_other_task(strict: Rig, user: User) -> None:
    await user.may("READ", DEFINITION)
    await user.may("READ_INSTANCE", DEFINITION)
    locked, fine = await strict.deploy(strict.step("locked")), await strict.deploy(strict.step("fine"))
    await user.may("UPDATE_INSTANCE", DEFINITION, fine.key)
    await strict.start_worker(topics=())

    left = await strict.rest.start(locked)
    for _ in range(3):
        await strict.run(fine)
    assert await strict.rest.state(left) == "ACTIVE"


async def test_doctor_names_each_right_that_is_missing(strict: Rig, user: User) -> None:
    await user.may_all_but("READ on deployments", "READ_INSTANCE_VARIABLE on process definitions")
    row = await rights(strict)
    assert row.level is Level.WARNING
    assert (
        "to read schemas and assistants deployed with a model, and models that are not in UTF-8: READ on deployments"
        in row.said
    )
    assert "READ_INSTANCE_VARIABLE on process definitions" in row.said
    assert "UPDATE_INSTANCE" not in row.said
    assert "TASK" not in row.said, "nobody hands anything over"


async def test_where_persons_hand_over_doctor_names_what_that_needs_too(
    strict: Rig, user: User, tmp_path: Path
) -> None:
    await user.may_all_but()
    named = json.dumps({"ann-0123456789abcdef": {"name": "Ann", "rights": ["read", "hand_over"]}})
    over_api = {"api_tokens": named, "transcript_url": f"sqlite:///{tmp_path}/record.db"}
    row = await rights(strict, **over_api)
    assert row.level is Level.WARNING
    assert (
        "to see user tasks that persons hand something over with: READ_TASK on process definitions or READ on tasks"
        in row.said
    )
    assert "to complete these user tasks: UPDATE_TASK on process definitions or UPDATE on tasks" in row.said
    assert "to tell which groups persons are in: READ on groups" in row.said
    for choices in TO_HAND_OVER.values():
        await user.may(*choices[-1])
    assert (await rights(strict, **over_api)).level is Level.OK


async def rights(rig: Rig, **settings: Any) -> Finding:
    """What doctor finds of rights."""
    rows = await doctor.findings(rig.build_settings(topics=(), **settings))
    [row] = [each for each in rows if (each.area, each.subject) == ("engine", "rights")]
    return row


async def called_by(rig: Rig, instance: str) -> str:
    """The instance that this one calls."""

    async def found() -> str | None:
        rows = await rig.rest.get("process-instance", superProcessInstance=instance, maxResults=MOST)
        return rows[0]["id"] if rows else None

    id_: str = await wait_until(found, what="the called instance")
    return id_
