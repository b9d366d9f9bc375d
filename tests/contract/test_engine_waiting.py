"""The adapter and a real engine agree on how many tasks could be fetched."""

from datetime import timedelta

from tests.engines import open_engine
from tests.models import ServiceTask, bpmn, unique
from tests.rest import EngineRest
from worker.demo.engine import Engine
from worker.domain.tasks import Topic


async def test_only_tasks_that_could_be_fetched_are_counted(engine: Engine, engine_rest: EngineRest) -> None:
    topic = unique("topic")
    model = bpmn(ServiceTask("step", topic))
    await engine_rest.deploy(model)
    instances = [await engine_rest.start(model) for _ in range(6)]
    async with open_engine(engine.base_url) as worker:
        assert await worker.waiting(Topic(topic)) == 6
        dead, parked, _locked = await worker.fetch([Topic(topic)], 3)
        await worker.fail(dead.id, "no", "", 0, timedelta(0))
        await worker.extend(parked.id, timedelta(minutes=5))
        fetched = {dead.process_instance_id, parked.process_instance_id, _locked.process_instance_id}
        suspended = next(each for each in instances if each not in fetched)
        await engine_rest.put(f"/process-instance/{suspended}/suspended", {"suspended": True})

        assert await worker.waiting(Topic(topic)) == 2
        assert await worker.waiting(Topic(unique("topic"))) == 0


async def test_a_topic_that_is_shared_is_counted_for_its_definitions_alone(
    engine: Engine, engine_rest: EngineRest
) -> None:
    topic = unique("topic")
    definitions = []
    for _ in range(3):
        model = bpmn(ServiceTask("step", topic))
        definitions += await engine_rest.deploy(model)
        await engine_rest.start(model)
    async with open_engine(engine.base_url) as worker:
        assert await worker.waiting(Topic(topic, tuple(definitions[:2]))) == 2


async def test_tasks_of_other_tenants_are_not_counted(engine: Engine, engine_rest: EngineRest) -> None:
    topic, tenant = unique("topic"), unique("tenant")
    for whose in (tenant, None):
        model = bpmn(ServiceTask("step", topic))
        (definition,) = await engine_rest.deploy(model, tenant=whose)
        await engine_rest.post(f"/process-definition/{definition}/start", {})
    async with open_engine(engine.base_url, tenants=(tenant,)) as worker:
        assert await worker.waiting(Topic(topic)) == 1
    async with open_engine(engine.base_url, tenants=("-",)) as worker:
        assert await worker.waiting(Topic(topic)) == 2  # engines cannot leave them out
