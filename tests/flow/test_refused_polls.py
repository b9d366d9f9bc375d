"""One task whose poll the engine refuses stops no other."""

import asyncio
from dataclasses import replace

import pytest

from tests.flow.rig import Rig
from tests.models import Model, bpmn, unique
from worker import doctor


def with_nameless_properties(model: Model) -> Model:
    """The model as a modeller leaves it who has added two properties and not named them."""
    nameless = '<camunda:properties><camunda:property/><camunda:property value="x"/>'
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
