"""What a real engine tells of the instances that one called."""

import json
from collections.abc import AsyncIterator

import pytest

from tests.engines import http, literal, open_engine
from tests.models import ServiceTask, bpmn, call, line, process, unique
from tests.rest import EngineRest
from worker.demo.engine import Engine
from worker.domain.processes import Called
from worker.domain.tasks import Topic
from worker.engine import RestEngine, calls


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[RestEngine]:
    async with open_engine(engine.base_url) as client:
        yield client


async def test_called_instances_are_found_at_any_depth_while_they_run_and_afterwards(
    client: RestEngine, engine_rest: EngineRest
) -> None:
    topic = unique("topic")
    lowest = bpmn(ServiceTask("step", topic, async_after=False))
    middle = process(line(call("low", lowest)))
    top = process(line(call("mid", middle), call("once_more", lowest)))
    for model in (lowest, middle, top):
        await engine_rest.deploy(model)
    instance = await engine_rest.start(top)

    below = await client.called(instance)
    assert below.lacking == ""
    assert [each.definition_key for each in below.called] == [middle.key, lowest.key]
    assert [each.called_by for each in below.called] == [instance, below.called[0].id]

    for _ in range(2):
        (task,) = await client.fetch([Topic(topic)], 1)
        await client.complete(task.id, {}, {})
    over = await client.called(instance)
    assert sorted(each.definition_key for each in over.called) == sorted([middle.key, lowest.key, lowest.key])
    assert {each.called_by for each in over.called} == {instance, below.called[0].id}
    assert (await client.called(below.called[1].id)).called == []


async def test_without_history_only_what_runs_is_known_and_that_is_said() -> None:
    running = json.dumps([{"id": "child", "definitionId": "risk:1:x"}])
    async with (
        literal(http(200, "[]"), http(200, running), http(200, "[]")) as server,
        open_engine(server.url) as client,
    ):
        below = await client.called("instance")
        assert below.called == [Called("child", "risk", "", "instance", "risk:1:x")]
        assert "no history" in below.lacking
        assert ["/process-instance?superProcessInstance=child" in each for each in server.requests] == [
            False,
            False,
            True,
        ]


async def test_many_called_instances_end_at_a_bound_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MOST_CALLED", 3)
    rows = json.dumps([{"id": str(number), "processDefinitionKey": "risk"} for number in range(9)])
    async with literal(http(200, '[{"id": "instance"}]'), http(200, rows)) as server, open_engine(server.url) as client:
        below = await client.called("instance")
    assert len(below.called) == 3
    assert "more than" in below.lacking


async def test_engines_that_tell_of_a_ring_are_asked_once() -> None:
    rows = json.dumps([{"id": "instance"}, {"id": "other", "processDefinitionKey": "risk"}])
    async with literal(http(200, rows)) as server, open_engine(server.url) as client:
        assert [each.id for each in (await client.called("instance")).called] == ["other"]
