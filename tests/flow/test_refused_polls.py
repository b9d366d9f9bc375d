"""One task whose poll the engine refuses stops no other."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from tests.flow.gateway import gateway
from tests.flow.rig import Rig
from tests.models import Model, bpmn, unique
from tests.waiting import wait_until
from worker.demo.processes import free_port
from worker.loop import sieve
from worker.operate import doctor
from worker.telemetry.logs import Event


def with_nameless_properties(model: Model) -> Model:
    """The model as a modeller leaves it who has added two properties and not named them, and one without a value."""
    nameless = '<camunda:properties><camunda:property/><camunda:property value="x"/>'
    nameless += '<camunda:property name="service.version"/>'
    return replace(model, xml=model.xml.replace("<camunda:properties>", nameless))


@pytest.mark.parametrize("topics", ["", "fixed"])
async def test_a_property_without_a_name_stops_no_task(rig: Rig, topics: str) -> None:
    """Engines refuse every poll that asks for extension properties and would bring a task with such a property."""
    bad = with_nameless_properties(bpmn(rig.step("bad"), key=unique("nameless")))
    await rig.rest.deploy(bad)
    models = [await rig.deploy(rig.step("good"))]
    if not topics:
        models.append(await rig.deploy(rig.step("good", topic=unique("topic"))))
    instances = [await rig.rest.start(bad), *[await rig.rest.start(models[n % len(models)]) for n in range(10)]]

    await rig.start_worker(**({"topics": rig.topic} if topics else {"topics": ()}))

    await asyncio.gather(*map(rig.rest.wait_for_end, instances))


async def test_doctor_names_a_property_without_a_name(rig: Rig) -> None:
    bad = with_nameless_properties(bpmn(rig.step("bad"), key=unique("nameless")))
    await rig.rest.deploy(bad)

    rows = await doctor.findings(rig.build_settings(topics=()))

    [row] = [each for each in rows if "without a name" in each.said]
    assert (row.level, row.subject) == (doctor.Level.WARNING, f"{bad.key} version 1: bad")
    assert "Name the property" in row.advice


async def test_a_definition_whose_tasks_are_refused_is_left_out_and_named_and_all_others_finish(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sieve, "FIRST_PAUSE", timedelta(seconds=2))
    health_port = free_port()
    [refused] = await rig.rest.deploy(bad := bpmn(rig.step("bad"), key=unique("refused")))
    models = [await rig.deploy(rig.step("good", topic=topic)) for topic in (rig.topic, unique("topic"))]
    instances = [await rig.rest.start(models[number % 2]) for number in range(4)]
    left = await rig.rest.start(bad)
    instances += [await rig.rest.start(models[number % 2]) for number in range(6)]
    async with gateway(rig.rest.base_url) as door:
        door.unwanted = refused
        with capture_logs() as lines:
            await rig.start_worker(engine_url=door.url, topics=(), discovery_seconds=1, health_port=health_port)
            await asyncio.gather(*map(rig.rest.wait_for_end, instances))
            later = await rig.deploy(rig.step("later"))
            await rig.run(later)
            await wait_until(lambda: door.refused > 4, 60, "another look")  # pauses double

        rows = await doctor.findings(rig.build_settings(topics=(), health_port=health_port))
        door.unwanted = ""
        await rig.rest.wait_for_end(left)

    assert Event.DEPENDENCY_DOWN not in {line["event"] for line in lines}
    named = [line for line in lines if line["event"] == Event.LEFT_OUT]
    assert {(line["topic"], line["definition"]) for line in named} == {(rig.topic, refused)}
    [row] = [each for each in rows if each.subject == "left out"]
    assert row.level is doctor.Level.PROBLEM
    assert f"tasks of {refused} on topic {rig.topic} are left out" in row.said
    assert "400 InvalidRequestException" in row.said


async def test_with_given_topics_too_one_definition_is_left_out(rig: Rig) -> None:
    [refused] = await rig.rest.deploy(bad := bpmn(rig.step("bad"), key=unique("refused")))
    good = await rig.deploy(rig.step("good"))
    await rig.rest.start(bad)
    async with gateway(rig.rest.base_url) as door:
        door.unwanted = refused
        await rig.start_worker(engine_url=door.url)
        await rig.run(good)
        await rig.workers[0].stop()
