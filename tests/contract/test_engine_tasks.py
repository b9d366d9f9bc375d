"""The adapter and a real engine agree on tasks: who has them, what became of them, and what went wrong."""

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.engines import open_engine
from tests.models import Model, ServiceTask, bpmn, unique
from tests.rest import EngineRest
from tests.waiting import wait_until
from worker.demo.engine import Engine
from worker.domain.tasks import Task, TaskState, Topic, Variable
from worker.domain.watching import TaskSeen
from worker.engine import RestEngine
from worker.errors import Conflict, EngineDown, Refused, TaskGone, TaskLost, TaskSuspended, TooLong


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[RestEngine]:
    async with open_engine(engine.base_url) as client:
        yield client


@pytest.fixture
async def other(engine: Engine) -> AsyncIterator[RestEngine]:
    """Another worker."""
    async with open_engine(engine.base_url) as client:
        yield client


async def fetched(
    client: RestEngine, rest: EngineRest, variables: Mapping[str, Any] | None = None, **changes: Any
) -> Task:
    """The only task of a new instance; `changes` are fields of its ServiceTask."""
    topic = unique("topic")
    model = bpmn(ServiceTask("step", topic, **changes))
    await rest.deploy(model)
    await rest.start(model, variables)
    (task,) = await client.fetch([Topic(topic)], 1)
    return task


async def test_a_task_comes_with_everything_that_a_turn_needs(client: RestEngine, engine_rest: EngineRest) -> None:
    topic = unique("topic")
    model = bpmn(ServiceTask("step", topic, properties={"service.type": "assistant"}, inputs={"prompt": "${who}"}))
    (definition,) = await engine_rest.deploy(model)
    variables = {"who": "Ada", "facts": {"a": [1]}, "n": 7, "none": {"value": None, "type": "Null"}}
    instance = await engine_rest.start(model, variables, "order 7")

    (task,) = await client.fetch([Topic(topic)], 5)

    assert (task.topic, task.activity_id, task.process_instance_id) == (topic, "step", instance)
    assert (task.process_definition_id, task.process_definition_key) == (definition, model.key)
    assert (task.business_key, task.tenant_id, task.retries) == ("order 7", None, None)
    assert task.variables["prompt"] == Variable("Ada", "String")
    assert (task.variables["facts"].type, json.loads(task.variables["facts"].value)) == ("Json", {"a": [1]})
    assert (task.variables["n"].value, task.variables["none"]) == (7, Variable(None, "Null"))
    assert abs(datetime.now(UTC) - task.created_at) < timedelta(minutes=1)
    assert await client.state(task.id) == TaskState(client.worker_id, suspended=False)
    await engine_rest.put(f"external-task/{task.id}/retries", {"retries": 5})
    assert await client.state(task.id) == TaskState(client.worker_id, suspended=False, retries=5)


async def test_the_oldest_tasks_come_first_over_all_topics(client: RestEngine, engine_rest: EngineRest) -> None:
    models = [bpmn(ServiceTask("step", unique("topic"))) for _ in range(2)]
    topics = [Topic(model.xml.split('camunda:topic="')[1].split('"')[0]) for model in models]
    await engine_rest.deploy(*models)
    instances = [await engine_rest.start(models[number % 2]) for number in range(6)]

    first = await client.fetch(topics, 4)
    rest = await client.fetch(topics, 4)

    assert {task.process_instance_id for task in first} == set(instances[:4])
    assert {task.process_instance_id for task in rest} == set(instances[4:])


async def test_tasks_come_by_their_priority_and_the_oldest_of_one_priority_first(
    client: RestEngine, engine_rest: EngineRest
) -> None:
    topic = unique("topic")
    xml = bpmn(ServiceTask("step", topic)).xml
    model = xml.replace('camunda:type="external"', 'camunda:type="external" camunda:taskPriority="${urgency}"')
    [definition] = await engine_rest.deploy(model)
    key = definition.split(":")[0]
    low, first, second = [await engine_rest.start(key, {"urgency": each}) for each in (1, 7, 7)]

    fetched = [(await client.fetch([Topic(topic)], 1))[0].process_instance_id for _ in range(3)]

    assert fetched == [first, second, low]


async def test_a_topic_with_definitions_brings_the_tasks_of_no_other(
    client: RestEngine, engine_rest: EngineRest
) -> None:
    topic = unique("topic")
    ours, strange = (bpmn(ServiceTask("step", topic)) for _ in range(2))
    (definition,) = await engine_rest.deploy(ours)
    await engine_rest.deploy(strange)
    await engine_rest.start(strange)
    instance = await engine_rest.start(ours)

    tasks = await client.fetch([Topic(topic, (definition,))], 5)

    assert [task.process_instance_id for task in tasks] == [instance]


async def test_a_waiting_poll_returns_when_a_task_appears(client: RestEngine, engine_rest: EngineRest) -> None:
    topic = unique("topic")
    model = bpmn(ServiceTask("step", topic))
    await engine_rest.deploy(model)
    async with asyncio.TaskGroup() as group:
        poll = group.create_task(client.fetch([Topic(topic)], 1))
        instance = await engine_rest.start(model)
    assert [task.process_instance_id for task in poll.result()] == [instance]


async def test_a_poll_for_nothing_ends_empty(engine: Engine) -> None:
    async with open_engine(engine.base_url, poll=timedelta(milliseconds=300)) as client:
        assert await client.fetch([Topic(unique("topic"))], 1) == []


async def test_a_result_arrives_with_its_types(client: RestEngine, engine_rest: EngineRest) -> None:
    task = await fetched(client, engine_rest, outputs={"kept": "${own}"})
    text = "ü" * 5000
    java = {"objectTypeName": "java.lang.String", "serializationDataFormat": "application/json"}
    file = {"filename": "answer.md", "mimeType": "text/markdown", "encoding": "UTF-8"}
    variables = {
        "short": Variable("x" * 4000, "String"),
        "long": Variable(json.dumps(text), "Object", java),
        "json": Variable(json.dumps({"text": text * 20}), "Json"),
        "file": Variable(b64encode(text.encode()).decode(), "File", file),
        "plain": Variable(7),
        "broken": Variable("half \ud83d of a pair", "String"),
    }

    await client.complete(task.id, variables, {"own": Variable("local", "String")})

    await engine_rest.wait_for_end(task.process_instance_id)
    seen = await engine_rest.variables(task.process_instance_id)
    assert seen["short"] == "x" * 4000
    assert json.loads(seen["long"]) == text
    assert json.loads(seen["json"]) == {"text": text * 20}
    assert (seen["plain"], seen["kept"], seen["broken"]) == (7, "local", "half \ud83d of a pair")
    assert await client.was_completed(task.id)


async def test_a_file_can_be_read_back(client: RestEngine, engine_rest: EngineRest) -> None:
    topic = unique("topic")
    model = bpmn(ServiceTask("one", topic), ServiceTask("two", topic))
    await engine_rest.deploy(model)
    instance = await engine_rest.start(model)
    (task,) = await client.fetch([Topic(topic)], 1)
    file = Variable(b64encode(b"# Answer").decode(), "File", {"filename": "a.md", "mimeType": "text/markdown"})

    await client.complete(task.id, {"file": file}, {})

    (task,) = await client.fetch([Topic(topic)], 1)
    assert task.variables["file"] == Variable(None, "File", {"filename": "a.md", "mimeType": "text/markdown"})
    stored = await client.variable(instance, "file")
    assert stored is not None
    assert stored.type == "File"
    status, content = await engine_rest.request("GET", f"process-instance/{instance}/variables/file/data")
    assert (status, content) == (200, "# Answer")
    assert b64decode(file.value) == b"# Answer"


async def test_a_task_that_is_gone_is_lost_whatever_is_tried(client: RestEngine, engine_rest: EngineRest) -> None:
    task = await fetched(client, engine_rest)
    assert not await client.was_completed(task.id)
    await client.complete(task.id, {}, {})

    for attempt in (
        client.complete(task.id, {}, {}),
        client.extend(task.id),
        client.fail(task.id, "message", "details", 1, timedelta(0)),
        client.bpmn_error(task.id, "code", "message", {}),
        client.unlock(task.id),
        client.state(task.id),
    ):
        with pytest.raises(TaskGone):
            await attempt
    assert await client.was_completed(task.id)


async def test_a_task_of_another_worker_is_lost_and_stays_theirs(
    client: RestEngine, other: RestEngine, engine_rest: EngineRest
) -> None:
    task = await fetched(other, engine_rest)

    for attempt in (
        client.complete(task.id, {}, {}),
        client.extend(task.id),
        client.fail(task.id, "message", "details", 1, timedelta(0)),
        client.bpmn_error(task.id, "code", "message", {}),
    ):
        with pytest.raises(TaskLost) as lost:
            await attempt
        assert lost.type is TaskLost, "which is told apart from a task that is gone"
    assert not await client.was_completed(task.id)
    assert await other.state(task.id) == TaskState(other.worker_id, suspended=False)
    await other.complete(task.id, {}, {})


async def test_a_lock_is_made_longer_and_shorter(client: RestEngine, engine_rest: EngineRest) -> None:
    task = await fetched(client, engine_rest)
    lengths = []
    for duration in (timedelta(minutes=30), timedelta(seconds=10), None):
        await client.extend(task.id, duration)
        (row,) = await engine_rest.tasks(task.process_instance_id)
        lengths.append((datetime.fromisoformat(row["lockExpirationTime"]) - datetime.now(UTC)).total_seconds())
    assert lengths == [pytest.approx(1800, abs=5), pytest.approx(10, abs=5), pytest.approx(30, abs=5)]


async def test_a_lock_that_ran_out_is_taken_back(client: RestEngine, engine_rest: EngineRest) -> None:
    task = await fetched(client, engine_rest)
    await client.extend(task.id, timedelta(milliseconds=1))

    await client.extend(task.id)

    (row,) = await engine_rest.tasks(task.process_instance_id)
    assert row["workerId"] == client.worker_id
    assert datetime.fromisoformat(row["lockExpirationTime"]) > datetime.now(UTC) + timedelta(seconds=20)


async def test_to_give_a_task_back_takes_no_other_workers_lock_away(
    client: RestEngine, other: RestEngine, engine_rest: EngineRest
) -> None:
    task = await fetched(client, engine_rest)
    await client.extend(task.id, timedelta(milliseconds=1))
    await client.unlock(task.id)
    assert await other.fetch([Topic(task.topic)], 1)

    with pytest.raises(TaskLost) as lost:
        await client.unlock(task.id)
    assert lost.type is TaskLost
    assert await other.state(task.id) == TaskState(other.worker_id, suspended=False)


async def test_a_suspended_task_is_given_back(client: RestEngine, engine_rest: EngineRest) -> None:
    task = await fetched(client, engine_rest)
    path = f"process-instance/{task.process_instance_id}/suspended"
    await engine_rest.put(path, {"suspended": True})
    await client.unlock(task.id)

    assert await client.state(task.id) == TaskState(None, suspended=True)


async def test_a_completion_counts_although_the_lock_ran_out(client: RestEngine, engine_rest: EngineRest) -> None:
    task = await fetched(client, engine_rest)
    await client.extend(task.id, timedelta(milliseconds=1))
    await client.complete(task.id, {}, {})
    await engine_rest.wait_for_end(task.process_instance_id)


async def test_a_lock_that_ran_out_and_was_taken_is_lost(
    client: RestEngine, other: RestEngine, engine_rest: EngineRest
) -> None:
    task = await fetched(client, engine_rest)
    await client.extend(task.id, timedelta(milliseconds=1))
    assert await other.fetch([Topic(task.topic)], 1)
    with pytest.raises(TaskLost) as lost:
        await client.extend(task.id)
    assert lost.type is TaskLost


async def test_an_unlocked_task_is_anybodys(client: RestEngine, other: RestEngine, engine_rest: EngineRest) -> None:
    task = await fetched(client, engine_rest)
    await client.unlock(task.id)
    assert await client.state(task.id) == TaskState(None, suspended=False)

    with pytest.raises(TaskLost):
        await client.complete(task.id, {}, {})
    await client.extend(task.id)
    assert (await client.state(task.id)).worker_id == client.worker_id

    await client.unlock(task.id)
    (again,) = await other.fetch([Topic(task.topic)], 1)
    assert (again.id, again.retries) == (task.id, None)


async def test_a_suspended_task_takes_nothing_until_it_is_resumed(client: RestEngine, engine_rest: EngineRest) -> None:
    task = await fetched(client, engine_rest)
    await engine_rest.put(f"process-instance/{task.process_instance_id}/suspended", {"suspended": True})

    for attempt in (
        client.complete(task.id, {}, {}),
        client.extend(task.id),
        client.fail(task.id, "message", "details", 1, timedelta(0)),
        client.bpmn_error(task.id, "code", "message", {}),
    ):
        with pytest.raises(TaskSuspended):
            await attempt
    assert await client.state(task.id) == TaskState(client.worker_id, suspended=True)

    await engine_rest.put(f"process-instance/{task.process_instance_id}/suspended", {"suspended": False})
    await client.complete(task.id, {}, {})
    await engine_rest.wait_for_end(task.process_instance_id)


async def test_a_suspended_task_with_a_lapsed_lock_is_not_locked_again(
    client: RestEngine, engine_rest: EngineRest
) -> None:
    task = await fetched(client, engine_rest)
    await client.extend(task.id, timedelta(milliseconds=1))
    await engine_rest.put(f"process-instance/{task.process_instance_id}/suspended", {"suspended": True})
    with pytest.raises(TaskSuspended):
        await client.extend(task.id)
    (row,) = await engine_rest.tasks(task.process_instance_id)
    assert datetime.fromisoformat(row["lockExpirationTime"]) < datetime.now(UTC)


async def test_a_string_over_its_column_is_too_long_and_the_task_stays(
    client: RestEngine, engine_rest: EngineRest
) -> None:
    task = await fetched(client, engine_rest)
    with pytest.raises(TooLong):
        await client.complete(task.id, {"answer": Variable("x" * 4001, "String")}, {})
    await client.complete(task.id, {"answer": Variable("x" * 4000, "String")}, {})


@pytest.mark.parametrize("variable", [Variable("abc", "Long"), Variable("x", "NoSuchType")])
async def test_a_value_that_is_none_of_its_type_is_refused(
    variable: Variable, client: RestEngine, engine_rest: EngineRest
) -> None:
    task = await fetched(client, engine_rest)
    with pytest.raises(Refused, match=r"^400 \w+Exception: .+"):
        await client.complete(task.id, {"answer": variable}, {})
    assert not await client.was_completed(task.id)


async def test_a_failing_step_behind_the_task_is_refused_with_the_engines_words(
    client: RestEngine, engine_rest: EngineRest
) -> None:
    topic = unique("topic")
    behind = ServiceTask("next", topic, inputs={"x": "${nobodyKnowsThis}"})
    model = bpmn(ServiceTask("step", topic, async_after=False), behind)
    await engine_rest.deploy(model)
    await engine_rest.start(model)
    (task,) = await client.fetch([Topic(topic)], 1)
    with pytest.raises(Refused, match=r"^500 .*nobodyKnowsThis") as caught:
        await client.complete(task.id, {}, {})
    assert len(str(caught.value)) < 400
    assert await client.state(task.id) == TaskState(client.worker_id, suspended=False)
    await engine_rest.put(f"external-task/{task.id}/retries", {"retries": 5})
    assert await client.state(task.id) == TaskState(client.worker_id, suspended=False, retries=5)


async def test_a_failure_is_cut_to_what_engines_keep_and_comes_back(
    client: RestEngine, engine_rest: EngineRest
) -> None:
    task = await fetched(client, engine_rest)

    await client.fail(task.id, "m" * 700, "d" * 9000, 2, timedelta(0))

    (row,) = await engine_rest.tasks(task.process_instance_id)
    assert (row["errorMessage"], row["retries"]) == ("m" * 666, 2)
    assert await engine_rest.get(f"external-task/{task.id}/errorDetails") == "d" * 9000
    (again,) = await client.fetch([Topic(task.topic)], 1)
    assert (again.id, again.retries) == (task.id, 2)
    assert not await engine_rest.incidents(task.process_instance_id)


async def test_a_failure_waits_for_its_delay(engine: Engine, client: RestEngine, engine_rest: EngineRest) -> None:
    task = await fetched(client, engine_rest)
    await client.fail(task.id, "later", "", 2, timedelta(minutes=10))
    async with open_engine(engine.base_url, poll=timedelta(milliseconds=1)) as quick:
        assert await quick.fetch([Topic(task.topic)], 1) == []


async def test_no_retries_left_is_an_incident(client: RestEngine, engine_rest: EngineRest) -> None:
    task = await fetched(client, engine_rest)
    await client.fail(task.id, "no spec of that name", "", 0, timedelta(0))
    (incident,) = await engine_rest.incidents(task.process_instance_id)
    assert incident["incidentMessage"] == "no spec of that name"


async def test_a_bpmn_error_takes_the_models_way_out_and_its_variables_along(
    client: RestEngine, engine_rest: EngineRest
) -> None:
    task = await fetched(client, engine_rest, catches="refused")
    await client.bpmn_error(task.id, "refused", "not this", {"why": Variable("taste")})
    await engine_rest.wait_for_end(task.process_instance_id)
    assert (await engine_rest.variables(task.process_instance_id))["why"] == "taste"
    assert not await client.was_completed(task.id)


async def test_variables_of_an_instance_are_read_and_written(client: RestEngine, engine_rest: EngineRest) -> None:
    task = await fetched(client, engine_rest, {"facts": {"a": 1}})
    instance = task.process_instance_id

    assert await client.variable(instance, "assistant_thread_analyst") is None
    for name in ("assistant_thread_analyst", "ü % x", "a;b?c#d", "..", "a.b+c"):
        await client.set_variable(instance, name, Variable(f"conv_1#1 {name}", "String"))
        assert await client.variable(instance, name) == Variable(f"conv_1#1 {name}", "String")
    facts = await client.variable(instance, "facts")
    assert facts is not None
    assert (facts.type, json.loads(facts.value)) == ("Json", {"a": 1})


async def test_a_variable_that_the_engine_does_not_take_is_refused(client: RestEngine, engine_rest: EngineRest) -> None:
    task = await fetched(client, engine_rest)
    for name, value in {"long": "x" * 4001, "a/b": "a slash is more than Tomcat lets through"}.items():
        with pytest.raises(Refused):
            await client.set_variable(task.process_instance_id, name, Variable(value, "String"))


async def test_variables_of_an_instance_that_is_over_are_lost(client: RestEngine, engine_rest: EngineRest) -> None:
    task = await fetched(client, engine_rest)
    await client.complete(task.id, {}, {})
    await engine_rest.wait_for_end(task.process_instance_id)
    with pytest.raises(TaskLost):
        await client.variable(task.process_instance_id, "x")
    with pytest.raises(TaskLost):
        await client.set_variable(task.process_instance_id, "x", Variable(1))


async def test_joins_that_collide_are_conflicts_and_a_repeat_gets_through(
    client: RestEngine, engine_rest: EngineRest
) -> None:
    """Whether branches collide is chance; whatever comes back, it is nothing that would end a turn."""
    topic = unique("topic")
    model = bpmn([ServiceTask(f"branch_{number}", topic, async_after=False) for number in range(10)])
    await engine_rest.deploy(model)
    instance = await engine_rest.start(model)
    tasks: list[Task] = []

    async def all_ten() -> bool:
        tasks.extend(await client.fetch([Topic(topic)], 10))
        return len(tasks) == 10

    await wait_until(all_ten)
    await asyncio.gather(*(_completed(client, task) for task in tasks))
    await engine_rest.wait_for_end(instance)


async def _completed(client: RestEngine, task: Task) -> None:
    while True:
        try:
            return await client.complete(task.id, {}, {})
        except Conflict:
            await asyncio.sleep(0)


async def test_an_address_beside_the_engines_is_not_a_task_that_is_gone(engine: Engine) -> None:
    for wrong in (engine.base_url.removesuffix("/engine-rest"), f"{engine.base_url}/v2"):
        async with open_engine(wrong) as client:
            with pytest.raises(EngineDown):
                await client.complete("some-task", {}, {})
            with pytest.raises(EngineDown):
                await client.has_spin()
    async with open_engine(f"{engine.base_url}/engine/default") as client:
        await client.ping()
    async with open_engine(f"{engine.base_url}/engine/nosuch") as client:
        for attempt in (client.complete("some-task", {}, {}), client.has_spin(), client.ping()):
            with pytest.raises(EngineDown):
                await attempt


async def test_each_version_has_its_own_documentation(client: RestEngine, engine_rest: EngineRest) -> None:
    key, topic = unique("process"), unique("topic")
    versions: list[Model] = [bpmn(ServiceTask("step", topic, documentation=text), key=key) for text in ("Old.", "New.")]
    ids = [(await engine_rest.deploy(version))[0] for version in versions]
    texts = [(await client.definition(id_)).activities["step"].documentation for id_ in ids]
    assert texts == ["Old.", "New."]
    with pytest.raises(TaskLost):
        await client.definition("nosuch:1:1")


async def test_what_instances_have_to_do_is_told_with_what_went_wrong(
    client: RestEngine, engine_rest: EngineRest
) -> None:
    failed = await fetched(client, engine_rest)
    fresh = await fetched(client, engine_rest)
    over = await fetched(client, engine_rest)
    await client.fail(failed.id, "the file is too large", "", 0, timedelta(0))
    await client.complete(over.id, {}, {})
    instances = [each.process_instance_id for each in (failed, fresh, over)]

    found = await client.instances.waiting([*instances, "nobody's"])

    assert found == {
        failed.process_instance_id: [
            TaskSeen(failed.id, "step", None, 0, "the file is too large", failed.process_definition_key)
        ],
        fresh.process_instance_id: [TaskSeen(fresh.id, "step", None, None, "", fresh.process_definition_key)],
    }
    assert await client.instances.waiting([]) == {}
