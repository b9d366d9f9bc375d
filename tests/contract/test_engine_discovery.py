"""Topics are found in what is really deployed, and follow it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.engines import open_engine
from tests.models import Model, ServiceTask, bpmn, unique
from tests.rest import EngineRest
from worker.demo.engine import Engine
from worker.domain.tasks import Definition, Topic
from worker.engine import Discovery, NotServed, RestEngine
from worker.engine.wire import Deployed
from worker.telemetry.logs import Event

OURS = {"service.type": "assistant", "service.name": "analyst"}


class Counting:
    """The engine, with a record of which definitions were asked for."""

    def __init__(self, engine: RestEngine) -> None:
        self.engine = engine
        self.asked: list[str] = []

    async def deployed(self) -> list[Deployed]:
        return await self.engine.deployed()

    async def definition(self, definition_id: str) -> Definition:
        self.asked.append(definition_id)
        return await self.engine.definition(definition_id)


@pytest.fixture
async def counting(engine: Engine) -> AsyncIterator[Counting]:
    async with open_engine(engine.base_url) as client:
        yield Counting(client)


@pytest.fixture
def discovery(counting: Counting) -> Discovery:
    """One that looks each time it is asked."""
    return Discovery(counting, timedelta(0))


def step(topic: str, name: str = "step", *, ours: bool = True, documentation: str = "") -> ServiceTask:
    return ServiceTask(name, topic, properties=OURS if ours else {}, documentation=documentation)


async def found(discovery: Discovery, *names: str) -> dict[str, tuple[str, ...]]:
    """What is polled for these topics; other tests' models do not matter."""
    return {topic.name: topic.definitions for topic in await discovery.current() if topic.name in names}


async def test_a_topic_of_ours_alone_needs_no_filter(discovery: Discovery, engine_rest: EngineRest) -> None:
    topic, strange = unique("topic"), unique("topic")
    assert await found(discovery, topic) == {}
    await engine_rest.deploy(bpmn(step(topic, "one"), step(topic, "two"), step(strange, "three", ours=False)))
    await engine_rest.deploy(bpmn(step(topic)))
    assert await found(discovery, topic, strange) == {topic: ()}


async def test_a_topic_that_others_use_too_is_polled_by_definitions(
    discovery: Discovery, counting: Counting, engine_rest: EngineRest
) -> None:
    topic = unique("topic")
    ours, strange = bpmn(step(topic)), bpmn(step(topic, ours=False))
    (our_definition,) = await engine_rest.deploy(ours)
    await engine_rest.deploy(strange)
    topics = await found(discovery, topic)
    assert topics == {topic: (our_definition,)}

    await engine_rest.start(strange)
    instance = await engine_rest.start(ours)
    tasks = await counting.engine.fetch([Topic(topic, topics[topic])], 9)
    assert [task.process_instance_id for task in tasks] == [instance]
    assert all(map(discovery.serves, tasks))


async def test_a_definition_that_mixes_is_named_and_not_served(discovery: Discovery, engine_rest: EngineRest) -> None:
    topic, own = unique("topic"), unique("topic")
    (mixed,) = await engine_rest.deploy(bpmn(step(topic, "one"), step(topic, "two", ours=False), step(own, "three")))
    (pure,) = await engine_rest.deploy(bpmn(step(topic)))

    with capture_logs() as lines:
        assert await found(discovery, topic, own) == {topic: (pure,), own: ()}
        await discovery.current()
    named = [line for line in lines if line["event"] == Event.TOPIC_NOT_SERVED and line["definition"] == mixed]
    assert [line["topic"] for line in named] == [topic]
    survey = await discovery.look()
    (entry,) = [each for each in survey.not_served if each.definition_id == mixed]
    assert entry == NotServed(mixed, topic, entry.reason)
    assert {mixed, pure} <= set(survey.definitions)


async def test_a_topic_that_is_an_expression_is_named_and_not_served(
    discovery: Discovery, engine_rest: EngineRest
) -> None:
    (definition,) = await engine_rest.deploy(bpmn(step("${topic}")))
    assert await found(discovery, "${topic}") == {}
    assert [each.topic for each in (await discovery.look()).not_served if each.definition_id == definition] == [
        "${topic}"
    ]


async def test_an_old_version_counts_while_its_instances_run(discovery: Discovery, engine_rest: EngineRest) -> None:
    key, old_topic, topic = unique("process"), unique("old"), unique("new")
    old = bpmn(step(old_topic), key=key)
    await engine_rest.deploy(old)
    instance = await engine_rest.start(old)
    await engine_rest.deploy(bpmn(step(topic), key=key))
    assert await found(discovery, old_topic, topic) == {old_topic: (), topic: ()}

    await engine_rest.put(f"process-instance/{instance}/suspended", {"suspended": True})
    assert await found(discovery, old_topic, topic) == {old_topic: (), topic: ()}

    await engine_rest.delete(f"process-instance/{instance}")
    assert await found(discovery, old_topic, topic) == {topic: ()}


async def test_an_old_version_of_others_still_asks_for_a_filter(discovery: Discovery, engine_rest: EngineRest) -> None:
    key, topic = unique("process"), unique("topic")
    old = bpmn(step(topic, ours=False), key=key)
    await engine_rest.deploy(old)
    await engine_rest.start(old)
    (new,) = await engine_rest.deploy(bpmn(step(topic), key=key))
    assert await found(discovery, topic) == {topic: (new,)}


async def test_each_tenant_has_its_own_latest_version(discovery: Discovery, engine_rest: EngineRest) -> None:
    key, topics = unique("process"), [unique("topic") for _ in range(3)]
    for topic, tenant in zip(topics, (None, "north", "south"), strict=True):
        await engine_rest.deploy(bpmn(step(topic), key=key), tenant=tenant)
    assert await found(discovery, *topics) == dict.fromkeys(topics, ())


async def test_a_definition_is_read_once_and_a_new_version_is_seen(
    discovery: Discovery, counting: Counting, engine_rest: EngineRest
) -> None:
    key, topic = unique("process"), unique("topic")
    models: list[Model] = [bpmn(step(topic, documentation=text), key=key) for text in ("Old.", "New.")]
    ids = []
    for model in models:
        ids += await engine_rest.deploy(model)
        for _ in range(3):
            assert await found(discovery, topic) == {topic: ()}

    assert sorted(id_ for id_ in counting.asked if id_ in ids) == sorted(ids)
    texts = [(await counting.engine.definition(id_)).activities["step"].documentation for id_ in ids]
    assert texts == ["Old.", "New."]


async def test_a_suspended_definition_counts(discovery: Discovery, engine_rest: EngineRest) -> None:
    topic = unique("topic")
    (definition,) = await engine_rest.deploy(bpmn(step(topic)))
    await engine_rest.put(f"process-definition/{definition}/suspended", {"suspended": True})
    assert await found(discovery, topic) == {topic: ()}


@pytest.mark.parametrize("encoding", ["ISO-8859-1", "UTF-16", "UTF-16LE", "windows-1252", "UTF-8-SIG"])
async def test_a_model_is_read_in_the_encoding_that_it_says(
    counting: Counting, engine_rest: EngineRest, tmp_path: Path, encoding: str
) -> None:
    text = bpmn(step(unique("topic"), documentation="Größe prüfen")).xml
    said = text.replace('encoding="UTF-8"', f'encoding="{encoding.removesuffix("-SIG")}"')
    (tmp_path / "model.bpmn").write_bytes(said.encode(encoding))
    (definition,) = await engine_rest.deploy(tmp_path / "model.bpmn")

    read = await counting.engine.definition(definition)
    assert read.activities["step"].documentation == "Größe prüfen"
    assert "Größe prüfen" in await counting.engine.xml(definition)


@pytest.mark.parametrize("prefix", ["process", "a_key_for_which_ids_have_no_room_left"])
async def test_pools_of_one_file_are_told_apart(discovery: Discovery, engine_rest: EngineRest, prefix: str) -> None:
    topic = unique("topic")
    ours = bpmn(step(topic, "ours"), key=unique(prefix))
    strange = bpmn(step(topic, "theirs", ours=False), key=unique(prefix))
    process = strange.xml[strange.xml.index("<bpmn:process") : strange.xml.index("</bpmn:definitions>")]
    for name in ("start", "end"):
        process = process.replace(f'"{name}"', f'"their_{name}"').replace(f'"{name}_to_', f'"their_{name}_to_')
    both = ours.xml.replace("</bpmn:definitions>", f"{process}</bpmn:definitions>")
    definitions = await engine_rest.deploy(both)
    assert len(definitions) == 2
    rows = [await engine_rest.get(f"process-definition/{id_}") for id_ in definitions]
    (our_definition,) = [row["id"] for row in rows if row["key"] == ours.key]
    assert await found(discovery, topic) == {topic: (our_definition,)}


async def test_a_topic_with_a_blank_at_its_end_is_polled_as_the_engine_knows_it(
    discovery: Discovery, counting: Counting, engine_rest: EngineRest
) -> None:
    topic = f"{unique('topic')} "
    (definition_id,) = await engine_rest.deploy(bpmn(step(topic)))
    await engine_rest.start(definition_id.partition(":")[0])

    assert await found(discovery, topic) == {topic: ()}
    [task] = await counting.engine.fetch([Topic(topic)], 1)
    assert task.process_definition_id == definition_id


async def test_every_kind_of_external_task_is_read_as_the_engine_runs_it(
    discovery: Discovery, counting: Counting, engine: Engine, engine_rest: EngineRest
) -> None:
    """Whatever the engine hands out for this model stands in what we read of it, with the same properties."""
    topic = unique("topic")
    model = EVERY_KIND.replace("TOPIC", topic).replace("KEY", unique("process"))
    if engine.kind == "camunda":  # Operaton's own namespace is Operaton's
        model = model.replace("operaton:", "camunda:")
    (definition_id,) = await engine_rest.deploy(model)
    assert await found(discovery, topic) == {topic: ()}
    await engine_rest.start(definition_id.partition(":")[0])

    wanted = {"topicName": topic, "lockDuration": 60_000, "includeExtensionProperties": True}
    fetched = {"workerId": counting.engine.worker_id, "maxTasks": 20, "topics": [wanted]}
    handed_out = await engine_rest.post("external-task/fetchAndLock", fetched)
    for each in handed_out:
        await engine_rest.post(f"external-task/{each['id']}/unlock")
    tasks = await counting.engine.fetch([Topic(topic)], 20)

    activities = (await counting.engine.definition(definition_id)).activities
    assert {each["activityId"]: each["extensionProperties"] for each in handed_out} == {
        id_: activity.properties for id_, activity in activities.items()
    }
    assert all(map(discovery.serves, tasks))
    assert len({task.activity_id for task in tasks}) == 6
    for task in tasks:
        assert activities[task.activity_id].parameters <= set(task.variables)


EVERY_KIND = """\
<?xml version="1.0" encoding="UTF-8"?>
<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL"
    xmlns:camunda="http://camunda.org/schema/1.0/bpmn" xmlns:operaton="http://operaton.org/schema/1.0/bpmn"
    targetNamespace="tests">
  <bpmn:process id="KEY" isExecutable="true" camunda:historyTimeToLive="P1D">
    <bpmn:startEvent id="start"/>
    <bpmn:parallelGateway id="fork"/>
    <bpmn:sequenceFlow id="f0" sourceRef="start" targetRef="fork"/>
    <bpmn:sequenceFlow id="f1" sourceRef="fork" targetRef="service"/>
    <bpmn:sequenceFlow id="f2" sourceRef="fork" targetRef="send"/>
    <bpmn:sequenceFlow id="f3" sourceRef="fork" targetRef="rule"/>
    <bpmn:sequenceFlow id="f4" sourceRef="fork" targetRef="throw"/>
    <bpmn:sequenceFlow id="f5" sourceRef="fork" targetRef="finish"/>
    <bpmn:sequenceFlow id="f6" sourceRef="fork" targetRef="sub"/>
    <bpmn:serviceTask id="service" operaton:type="external" operaton:topic="TOPIC">
      <bpmn:extensionElements>
        <operaton:properties>
          <operaton:property name="service.type" value="assistant"/>
        </operaton:properties>
      </bpmn:extensionElements>
    </bpmn:serviceTask>
    <bpmn:sendTask id="send" camunda:type="External" camunda:topic="TOPIC">
      <bpmn:extensionElements>
        <camunda:properties><camunda:property name="service.type" value="assistant"/></camunda:properties>
      </bpmn:extensionElements>
    </bpmn:sendTask>
    <bpmn:businessRuleTask id="rule" camunda:type="external" camunda:topic="TOPIC">
      <bpmn:extensionElements>
        <camunda:properties>
          <camunda:property name="service.type" value="assistant"/>
          <camunda:property name="data.input" value="a &amp; b"/>
        </camunda:properties>
      </bpmn:extensionElements>
    </bpmn:businessRuleTask>
    <bpmn:intermediateThrowEvent id="throw">
      <bpmn:extensionElements>
        <camunda:properties><camunda:property name="service.type" value="assistant"/></camunda:properties>
        <camunda:inputOutput>
          <camunda:inputParameter name="prompt">Say it.</camunda:inputParameter>
        </camunda:inputOutput>
      </bpmn:extensionElements>
      <bpmn:messageEventDefinition id="throw_message" camunda:type="external" camunda:topic="TOPIC"/>
    </bpmn:intermediateThrowEvent>
    <bpmn:endEvent id="finish">
      <bpmn:extensionElements>
        <camunda:properties><camunda:property name="service.type" value="assistant"/></camunda:properties>
      </bpmn:extensionElements>
      <bpmn:messageEventDefinition id="finish_message" camunda:type="external" camunda:topic="TOPIC"/>
    </bpmn:endEvent>
    <bpmn:subProcess id="sub">
      <bpmn:startEvent id="sub_start"/>
      <bpmn:sequenceFlow id="f7" sourceRef="sub_start" targetRef="inner"/>
      <bpmn:serviceTask id="inner" camunda:type="external" camunda:topic="TOPIC">
        <bpmn:extensionElements>
          <camunda:properties><camunda:property name="service.type" value="assistant"/></camunda:properties>
        </bpmn:extensionElements>
        <bpmn:multiInstanceLoopCharacteristics>
          <bpmn:loopCardinality>2</bpmn:loopCardinality>
        </bpmn:multiInstanceLoopCharacteristics>
      </bpmn:serviceTask>
    </bpmn:subProcess>
  </bpmn:process>
</bpmn:definitions>
"""
