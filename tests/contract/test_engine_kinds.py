"""What differs between engines: Spin or none, users with all rights, few or none."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from tests.engines import http, literal, open_engine, own_error
from tests.models import ServiceTask, bpmn, unique
from tests.rest import EngineRest, connect
from worker.demo.engine import Engine
from worker.domain.tasks import Topic, Variable
from worker.engine import Basic, Discovery
from worker.engine.info import SPECIFIC
from worker.errors import EngineDenied, EngineDown, Forbidden, ReadRefused, Refused

POOR = Basic("poor", "poor")


@pytest.fixture
async def bare_rest(bare_engine: Engine) -> AsyncIterator[EngineRest]:
    """Its administrator; beside them there is a user without any right."""
    async with connect(bare_engine) as rest:
        profile = {"id": POOR.user, "firstName": "Poor", "lastName": "User"}
        if not await rest.get("user", id=POOR.user):
            await rest.post("user/create", {"profile": profile, "credentials": {"password": POOR.password}})
        yield rest


async def test_an_engine_with_spin_is_known_and_left_as_it_was(engine: Engine, engine_rest: EngineRest) -> None:
    before = await engine_rest.get("history/variable-instance/count")
    async with open_engine(engine.base_url) as client:
        assert await client.has_spin()
    assert await engine_rest.get("history/variable-instance/count") == before


async def test_an_engine_without_spin_is_known_also_without_rights(bare_engine: Engine, bare_rest: EngineRest) -> None:
    model = bpmn(ServiceTask("step", unique("topic")))
    await bare_rest.deploy(model)
    for auth in (Basic(bare_engine.user, bare_engine.password), POOR):
        async with open_engine(bare_engine.base_url, auth=auth) as client:
            assert not await client.has_spin()


async def test_without_spin_json_is_refused_and_text_and_files_arrive(
    bare_engine: Engine, bare_rest: EngineRest
) -> None:
    topic = unique("topic")
    model = bpmn(ServiceTask("step", topic))
    await bare_rest.deploy(model)
    instance = await bare_rest.start(model)
    async with open_engine(bare_engine.base_url, auth=Basic("demo", "demo")) as client:
        (task,) = await client.fetch([Topic(topic)], 1)
        with pytest.raises(Refused):
            await client.complete(task.id, {"answer": Variable("{}", "Json")}, {})
        file = Variable("QQ==", "File", {"filename": "answer.md", "mimeType": "text/markdown"})
        await client.complete(task.id, {"answer": file, "short": Variable("A", "String")}, {})
    await bare_rest.wait_for_end(instance)


async def test_spin_is_asked_for_once_and_again_after_a_failure() -> None:
    yes = http(404, own_error())
    async with literal(http(503), yes) as server, open_engine(server.url) as client:
        with pytest.raises(EngineDown):
            await client.has_spin()
        assert await asyncio.gather(*(client.has_spin() for _ in range(5))) == [True] * 5
        assert len(server.requests) == 2


@pytest.mark.parametrize("status", [400, 500])
async def test_an_engine_that_says_no_to_everything_is_not_one_without_spin(status: int) -> None:
    async with literal(http(status, own_error())) as server, open_engine(server.url) as client:
        with pytest.raises(EngineDown):
            await client.has_spin()


async def test_wrong_credentials_are_denied(bare_engine: Engine) -> None:
    for auth in (None, Basic("nobody", "wrong")):  # a wrong password would lock a user that exists
        async with open_engine(bare_engine.base_url, auth=auth) as client:
            for attempt in (client.ping(), client.info(), client.fetch([Topic("topic")], 1), client.state("task")):
                with pytest.raises(EngineDenied):
                    await attempt


async def test_rights_that_are_missing_are_named(bare_engine: Engine, bare_rest: EngineRest) -> None:
    assert await bare_rest.get("version")
    async with open_engine(bare_engine.base_url, auth=Basic("demo", "demo")) as client:
        assert (await client.info()).lacking == ()
    async with open_engine(bare_engine.base_url, auth=POOR) as client:
        lacking = (await client.info()).lacking
    definitions, instances = "on process definitions", "on process instances"
    assert lacking == (
        f"to find the topics and read the models: READ {definitions}",
        f"to fetch tasks and find the processes that call theirs: READ_INSTANCE {definitions} or READ {instances}",
        f"to complete tasks and keep their threads: UPDATE_INSTANCE {definitions} or UPDATE {instances}",
        "to read schemas and assistants deployed with a model, and models that are not in UTF-8: READ on deployments",
        f"to read files and lost threads from variables, {SPECIFIC}: READ_INSTANCE_VARIABLE {definitions}",
        f"to look up what was completed, and what has ended: READ_HISTORY {definitions}",
        f"to erase what the history has of conversations: DELETE_HISTORY {definitions}",
        f"to find what to erase there, {SPECIFIC}: READ_HISTORY_VARIABLE {definitions}",
    )


async def test_who_may_not_see_finds_nothing_and_may_not_complete(bare_engine: Engine, bare_rest: EngineRest) -> None:
    topic = unique("topic")
    model = bpmn(ServiceTask("step", topic, properties={"service.type": "assistant"}))
    (definition,) = await bare_rest.deploy(model)
    instance = await bare_rest.start(model)
    (task,) = await bare_rest.tasks(instance)
    async with open_engine(bare_engine.base_url, auth=POOR, poll=timedelta(milliseconds=1)) as client:
        assert await Discovery(client, timedelta(seconds=10)).current() == ()
        assert await client.fetch([Topic(topic)], 1) == []
        lock = {"workerId": client.worker_id, "lockDuration": 60_000}
        await bare_rest.post(f"external-task/{task['id']}/lock", lock)
        with pytest.raises(Forbidden, match="UPDATE_INSTANCE"):
            await client.complete(task["id"], {}, {})
        with pytest.raises(ReadRefused, match="'READ' permission"):
            await client.definition(definition)


async def test_an_engine_that_asks_nobody_who_they_are_lacks_no_right(engine: Engine) -> None:
    async with open_engine(engine.base_url) as client:
        info = await client.info()
    assert info.version.count(".") == 2
    assert info.lacking == ()
    assert info.clock_ahead is not None
    assert abs(info.clock_ahead) < timedelta(seconds=5)
