"""What a real engine tells people of instances: which go on, what they wait for, what failed, what came of it."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from tests.engines import http, literal, open_engine
from tests.models import ServiceTask, bpmn, unique
from tests.rest import EngineRest
from worker.demo.engine import Engine
from worker.domain.processes import Step
from worker.domain.tasks import Topic, Variable
from worker.engine import RestEngine
from worker.errors import EngineDown

META = json.dumps({"assistant": "analyst", "version": "1", "thread": "conv_1", "fields": ["choice"]})


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[RestEngine]:
    async with open_engine(engine.base_url) as client:
        yield client


async def test_what_goes_on_is_told_with_what_it_waits_for_until_it_is_over(
    client: RestEngine, engine_rest: EngineRest
) -> None:
    topic, key = unique("topic"), unique("process-with-a-key-that-its-definition-s-id-has-no-room-for")
    model = bpmn(ServiceTask("step", topic, async_after=False), key=key)
    [definition] = await engine_rest.deploy(model)
    instance = await engine_rest.start(model, business_key="order 1")
    assert await client.keys([definition, "deleted:1:1"], [topic, "another"]) == {key}
    assert await client.keys([definition], ["another"]) == set(), "a process of others"

    known = (await client.processes([instance, "nobody's"]))[instance]
    assert (known.definition_id, known.definition_key, known.business_key) == (definition, key, "order 1")
    assert (known.tenant, known.is_active, known.started_at is None) == (None, True, False)
    assert [each.id for each in await client.going_on([key, "another"])] == [instance]
    [own] = [each["id"] for each in await engine_rest.tasks(instance)]
    assert await client.steps(instance) == [Step("step", "waiting", task_id=own)]

    [task] = await client.fetch([Topic(topic)], 1)
    assert await client.steps(instance) == [Step("step", "asking", task_id=own)]
    await client.fail(task.id, "no model", "", 2, timedelta(0))
    assert await client.steps(instance) == [Step("step", "again", "no model", 2, task_id=own)]
    assert await client.failing([instance]) == set()
    [task] = await client.fetch([Topic(topic)], 1)
    await client.fail(task.id, "no key", "", 0, timedelta(0))
    assert await client.steps(instance) == [Step("step", "failed", "no key", kind="failedExternalTask", task_id=own)]
    assert await client.failing([instance, "nobody's"]) == {instance}
    [incident] = await client.incidents([key])
    assert (incident.instance, incident.activity_id, incident.message) == (instance, "step", "no key")

    await engine_rest.put(f"/external-task/{task.id}/retries", {"retries": 1})
    [task] = await client.fetch([Topic(topic)], 1)
    await client.complete(task.id, {}, {})
    assert (await client.processes([instance]))[instance].is_active is False
    assert await client.going_on([key]) == []
    assert await client.steps(instance) == []


async def test_suspended_tasks_are_told_apart(client: RestEngine, engine_rest: EngineRest) -> None:
    model = bpmn(ServiceTask("step", unique("topic"), async_after=False))
    await engine_rest.deploy(model)
    instance = await engine_rest.start(model)
    await engine_rest.put(f"/process-instance/{instance}/suspended", {"suspended": True})
    [own] = [each["id"] for each in await engine_rest.tasks(instance)]
    assert await client.steps(instance) == [Step("step", "suspended", task_id=own)]


async def test_results_are_what_stands_beside_a_meta_variable_and_nothing_else(
    client: RestEngine, engine_rest: EngineRest
) -> None:
    topic = unique("topic")
    model = bpmn(ServiceTask("step", topic, async_after=False))
    await engine_rest.deploy(model)
    instance = await engine_rest.start(model, {"salary": 1, "other_meta": "{}"})
    [task] = await client.fetch([Topic(topic)], 1)
    variables = {
        "answer": Variable('{"choice": "B"}', "Json"),
        "choice": Variable("B"),
        "answer_meta": Variable(META),
        "count": Variable(3, "Long"),
        "count_meta": Variable(META),
    }
    await client.complete(task.id, variables, {})

    found = {each.name: each for each in await client.results(instance)}
    assert found.keys() == {"answer", "choice", "count"}
    assert (json.loads(found["answer"].text or ""), found["choice"].text, found["count"].text) == (
        {"choice": "B"},
        "B",
        "3",
    )
    assert all(each.at is not None for each in found.values())
    assert await client.results("nobody's") == []


async def test_names_of_processes_are_told_as_far_as_there_are_any(client: RestEngine, engine_rest: EngineRest) -> None:
    topic, nameless = unique("topic"), bpmn(ServiceTask("step", unique("topic")))
    model = bpmn(ServiceTask("step", topic))
    named = model.xml.replace(f'id="{model.key}"', f'id="{model.key}" name="Buy &lt;drones&gt;"')
    await engine_rest.deploy(named)
    await engine_rest.deploy(nameless)
    names = await client.names()
    assert names[model.key, None] == "Buy <drones>"
    assert (nameless.key, None) not in names


async def test_without_a_history_what_runs_is_told_without_its_start() -> None:
    running = '[{"id": "a", "definitionId": "decision:2:47", "businessKey": null, "tenantId": "north"}]'
    async with literal(http(200, "[]"), http(200, running)) as server, open_engine(server.url) as client:
        [found] = await client.going_on(["decision"])
    assert (found.definition_key, found.definition_version, found.tenant) == ("decision", 2, "north")
    assert (found.started_at, found.is_active) == (None, True)


async def test_an_answer_of_another_shape_breaks_nothing() -> None:
    odd = '[{"id": 7, "startTime": "soon", "endTime": null, "processDefinitionId": null}, 5]'
    async with literal(http(200, odd)) as server, open_engine(server.url) as client:
        [found] = await client.going_on(["decision"])
        assert (found.id, found.started_at, found.definition_key) == ("", None, "")
        assert [each.state for each in await client.steps("a")] == ["failed", "waiting"]
        assert await client.names() == {}


async def test_an_engine_in_trouble_tells_nothing() -> None:
    async with literal(http(502, "<html>")) as server, open_engine(server.url) as client:
        for asked in (
            client.processes(["a"]),
            client.going_on(["a"]),
            client.incidents(["a"]),
            client.failing(["a"]),
            client.steps("a"),
            client.names(),
            client.results("a"),
        ):
            with pytest.raises(EngineDown):
                await asked
