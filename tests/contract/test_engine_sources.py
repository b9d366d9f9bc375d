"""What a real engine that knows its users remembers of a decision: accepted answers, every value, who did what."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from tests.engines import open_engine
from tests.models import Model, ServiceTask, element, line, process, unique
from tests.rest import MOST, EngineRest
from tests.waiting import wait_until
from worker.demo.engine import Engine
from worker.domain.tasks import Task, Topic, Variable
from worker.engine import Basic, RestEngine


@pytest.fixture
async def rest(strict_engine: Engine) -> AsyncIterator[EngineRest]:
    """Of an engine that asks for a name: without, it does not note who did what."""
    headers = {"Authorization": f"Basic {base64.b64encode(b'demo:demo').decode()}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        rest = EngineRest(strict_engine.base_url, session)
        yield rest
        await rest.clean()


@pytest.fixture
async def client(strict_engine: Engine) -> AsyncIterator[RestEngine]:
    async with open_engine(strict_engine.base_url, auth=Basic(strict_engine.user, strict_engine.password)) as client:
        yield client


async def fetched(client: RestEngine, topic: str, count: int = 1) -> list[Task]:
    tasks = list[Task]()

    async def all_there() -> bool:
        tasks.extend(await client.fetch([Topic(topic)], count))
        return len(tasks) == count

    await wait_until(all_there, what=f"{count} tasks of {topic}")
    return tasks


def told(value: Any, name: str = "frame") -> dict[str, Variable]:
    return {name: Variable(json.dumps(value), "Json"), f"{name}_meta": Variable("{}", "String")}


async def test_what_was_said_and_who_signed_it_is_read_back(client: RestEngine, rest: EngineRest) -> None:
    topic = unique("topic")
    sign = '<bpmn:userTask id="sign" name="Sign" camunda:assignee="ben"/>'
    frame, scores = ServiceTask("frame", topic), ServiceTask("scores_of_each_judge", topic, instances=2)
    model = process(line(element(frame), element(scores), sign, element(ServiceTask("close", topic))))
    await rest.deploy(model)
    instance = await rest.start(model, {"frames": "another's name"})
    sources = client.sources

    [task] = await fetched(client, topic)
    assert task.activity_instance.startswith("frame:")
    assert await sources.remembers(task.id)
    assert not await sources.remembers("nobody's")
    assert (seen := await sources.instance(instance)) is not None
    assert (seen.definition_key, seen.business_key, seen.tenant) == (model.key, None, None)
    assert await sources.instance("nobody's") is None
    assert await sources.completions(instance) == []
    await client.complete(task.id, told({"by": "model"}), {})
    judges = await fetched(client, topic, 2)
    for number, each in enumerate(judges):
        await client.complete(each.id, {}, told({"judge": number}, f"scores_{number}"))

    person = await until_open(rest, instance)
    by_hand = {"value": '{"by": "hand"}', "type": "Json"}
    await rest.put(f"process-instance/{instance}/variables/frame", by_hand)
    form = {"frame": {"value": '{"by": "form"}', "type": "Json"}, "approved": {"value": True, "type": "Boolean"}}
    await rest.post(f"task/{person}/complete", {"variables": form})

    done = await sources.completions(instance)
    assert [each.task for each in done] == [task.id, *(each.id for each in judges)]
    assert (done[0].activity, done[0].activity_instance) == ("frame", task.activity_instance)
    assert done[0].definition == task.process_definition_id
    runs = await sources.panel(instance, "scores_of_each_judge")
    assert runs.keys() == {each.activity_instance for each in judges}
    assert len(set(runs.values())) == 1

    values = await sources.values(instance, "frame")
    assert {each.name for each in values} == {"frame", "frame_meta"}
    frames = [each for each in values if each.name == "frame"]
    assert [json.loads(each.value)["by"] for each in frames] == ["model", "hand", "form"]
    assert frames[0].activity_instance == task.activity_instance
    local = await sources.values(instance, "scores")
    assert [each.name for each in local if each.type == "Json"] == ["scores_0", "scores_1"], "gone with their activity"

    [signed] = await sources.persons_tasks(instance)
    assert (signed.id, signed.activity, signed.name, signed.assignee) == (person, "sign", "Sign", "ben")
    assert frames[2].activity_instance == signed.activity_instance
    assert signed.began is not None
    assert done[-1].at <= signed.began <= signed.at
    operations = await sources.operations(instance)
    assert (operations[frames[1].operation].kind, operations[frames[1].operation].user) == ("SetVariable", "demo")
    completed = operations[frames[2].operation]
    assert (completed.kind, completed.user, completed.task) == ("Complete", "demo", person)
    [approved] = await sources.values(instance, "approved")
    assert (approved.operation, approved.value) == (completed.id, True)


async def test_results_of_a_record_are_found_and_whether_each_task_was_completed(
    client: RestEngine, rest: EngineRest
) -> None:
    topic = unique("topic")
    model = process(line(element(ServiceTask("close", topic))))
    await rest.deploy(model)
    instance = await rest.start(model, {"decision_id": "r1", "decisions": "r1"})
    [task] = await fetched(client, topic)
    assert await client.sources.unfinished(instance) is True
    assert await client.sources.unfinished("nobody's") is None
    assert await client.sources.outputs(instance, "r1") == ["decision"]
    assert await client.sources.outputs(instance, "r2") == []
    await client.complete(task.id, {}, {})
    assert await client.sources.unfinished(instance) is False
    assert await client.sources.outputs(instance, "r1") == ["decision"], "also when it is over"


async def until_open(rest: EngineRest, instance: str) -> str:
    async def there() -> str | None:
        return next((each["id"] for each in await rest.get("task", processInstanceId=instance, maxResults=MOST)), None)

    found: str = await wait_until(there, what="a task for a person")
    return found


async def test_a_file_that_was_said_is_read_as_it_was_then(client: RestEngine, rest: EngineRest) -> None:
    topic = unique("topic")
    model: Model = process(line(element(ServiceTask("frame", topic)), element(ServiceTask("close", topic))))
    await rest.deploy(model)
    instance = await rest.start(model)
    for text in (b'{"first": 1}', b'{"second": 2}'):
        file = Variable(base64.b64encode(text).decode(), "File", {"filename": "frame.json"})
        [task] = await fetched(client, topic)
        await client.complete(task.id, {"frame": file}, {})

    values = await client.sources.values(instance, "frame")
    assert [each.type for each in values] == ["File", "File"]
    read = await asyncio.gather(*(client.sources.content(each, 100) for each in values))
    assert read == [b'{"first": 1}', b'{"second": 2}']
    assert await client.sources.content(values[0], 5) is None
    assert (await client.sources.called(instance)).called == []


async def test_a_modification_is_told_by_its_time_and_nothing_else_is(client: RestEngine, rest: EngineRest) -> None:
    topic = unique("topic")
    model = process(line(element(ServiceTask("first", topic)), element(ServiceTask("second", topic))))
    await rest.deploy(model)
    moved, other = await rest.start(model), await rest.start(model)
    before = datetime.now(UTC) - timedelta(minutes=1)
    await rest.put(f"process-instance/{other}/suspended", {"suspended": True})
    await rest.put(f"process-instance/{other}/suspended", {"suspended": False})
    assert await client.moved(moved) is None
    order = {"instructions": [{"type": "startBeforeActivity", "activityId": "second"}]}
    await rest.post(f"process-instance/{moved}/modification", order)

    seen = await client.moved(moved)
    assert seen is not None
    assert (seen.at > before, seen.by_batch) == (True, False)
    assert await client.moved(other) is None


async def test_a_batch_of_modifications_may_have_moved_each_instance_that_was_there(
    client: RestEngine, rest: EngineRest
) -> None:
    topic = unique("topic")
    model = process(line(element(ServiceTask("first", topic)), element(ServiceTask("second", topic))))
    await rest.deploy(model)
    moved, other = await rest.start(model), await rest.start(model)
    [row] = await rest.get("history/process-instance", processInstanceId=moved, maxResults=MOST)
    order = {
        "processDefinitionId": row["processDefinitionId"],
        "processInstanceIds": [moved],
        "instructions": [{"type": "startBeforeActivity", "activityId": "second"}],
    }
    await rest.post("modification/executeAsync", order)
    later = await rest.start(model)

    for instance in (moved, other):
        seen = await client.moved(instance)
        assert seen is not None
        assert seen.by_batch, "the engine notes the batch, and none of its instances"
    assert await client.moved(later) is None
