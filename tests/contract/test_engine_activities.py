"""What a real engine tells of an instance's activities and of its model."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from tests.engines import http, literal, open_engine, own_error
from tests.models import ServiceTask, bpmn, unique
from tests.rest import EngineRest
from worker.demo.engine import Engine
from worker.domain.tasks import Topic
from worker.engine import RestEngine
from worker.errors import EngineDown, TaskLost


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[RestEngine]:
    async with open_engine(engine.base_url) as client:
        yield client


async def test_activities_are_done_running_failed_cancelled_or_not_reached(
    client: RestEngine, engine_rest: EngineRest
) -> None:
    topics = {name: unique(name) for name in ("first", "left", "right", "caught", "many", "last")}
    plain = {name: ServiceTask(name, topic, async_after=False) for name, topic in topics.items()}
    caught = ServiceTask("caught", topics["caught"], async_after=False, catches="no")
    many = ServiceTask("many", topics["many"], async_after=False, instances=2)
    model = bpmn(plain["first"], [plain["left"], plain["right"], caught, many], plain["last"])
    await engine_rest.deploy(model)
    instance = await engine_rest.start(model)

    async def task(name: str) -> str:
        return (await client.fetch([Topic(topics[name])], 1))[0].id

    await client.complete(await task("first"), {}, {})
    await client.complete(await task("many"), {}, {})
    await client.fail(await task("right"), "broken", "", 0, timedelta(0))
    await client.bpmn_error(await task("caught"), "no", "not so", {})

    states = await client.activity_states(instance)
    assert states == {
        "start": "done",
        "first": "done",
        "fork_1": "done",
        "left": "running",
        "right": "failed",
        "caught": "cancelled",
        "caught_boundary": "done",
        "caught_caught": "done",
        "many": "running",
    }


async def test_the_states_of_an_instance_that_is_over_are_still_known(
    client: RestEngine, engine_rest: EngineRest
) -> None:
    topic = unique("topic")
    model = bpmn(ServiceTask("step", topic, async_after=False))
    await engine_rest.deploy(model)
    instance = await engine_rest.start(model)
    (task,) = await client.fetch([Topic(topic)], 1)
    await client.complete(task.id, {}, {})

    assert await client.activity_states(instance) == {"start": "done", "step": "done", "end": "done"}


async def test_an_instance_that_nobody_knows_has_no_states(client: RestEngine) -> None:
    assert await client.activity_states("no/such instance&") == {}


async def test_the_model_comes_as_it_was_deployed(client: RestEngine, engine_rest: EngineRest) -> None:
    model = bpmn(ServiceTask("step", unique("topic"), name="Ünïcode"))
    (definition,) = await engine_rest.deploy(model)

    assert await client.xml(definition) == model.xml
    with pytest.raises(TaskLost):
        await client.xml("no such definition")


@pytest.mark.parametrize("answer", [http(502, "<html>"), http(500, own_error())])
async def test_an_engine_in_trouble_tells_nothing(answer: bytes) -> None:
    async with literal(answer) as server, open_engine(server.url) as client:
        with pytest.raises(EngineDown):
            await client.activity_states("instance")
        with pytest.raises(EngineDown):
            await client.xml("definition")


async def test_which_instances_run_and_which_are_over_is_told_at_once(
    client: RestEngine, engine_rest: EngineRest
) -> None:
    topic = unique("topic")
    model = bpmn(ServiceTask("step", topic, async_after=False))
    await engine_rest.deploy(model)
    over, runs = [await engine_rest.start(model) for _ in range(2)]
    tasks = {task.process_instance_id: task.id for task in await client.fetch([Topic(topic)], 2)}
    await client.complete(tasks[over], {}, {})

    assert await client.running([over, runs, "nobody's"]) == {over: False, runs: True}
    assert await client.running([]) == {}


async def test_without_history_what_runs_is_told_and_nothing_of_the_others() -> None:
    async with literal(http(200, "[]"), http(200, '[{"id": "runs"}]')) as server, open_engine(server.url) as client:
        assert await client.running(["runs", "over"]) == {"runs": True}
