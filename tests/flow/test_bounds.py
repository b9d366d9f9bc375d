"""What somebody made huge, deep or slow is one instance's trouble: ten beside it finish, and it says what is wrong."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.flow.gateway import gateway
from tests.flow.rig import Rig
from tests.models import Model, element, line, process, sub_process, unique
from tests.waiting import wait_until
from worker.logs import Event

pytestmark = pytest.mark.timeout(120)


async def healthy(rig: Rig, model: Model, **variables: Any) -> None:
    """Ten instances with nothing odd about them, from their start to their end."""
    instances = [await rig.rest.start(model, variables) for _ in range(10)]
    await asyncio.gather(*(rig.rest.wait_for_end(each, 60) for each in instances))


async def test_a_definition_of_a_thousand_elements_within_each_other_is_named_and_stops_nothing(rig: Rig) -> None:
    inside = line(element(rig.step("deep", topic=unique("deep"))))
    for number in range(1000):
        inside = line(sub_process(f"sub_{number}", inside), start=f"start_{number}", end=f"end_{number}")
    # The Java of these tests refuses to deploy it; others take it.
    [definition] = await rig.rest.deploy(process(line(element(rig.step("shallow", topic=unique("deep"))))))
    sound = await rig.deploy(rig.step("one", data_input="-"))
    with capture_logs() as lines:
        async with gateway(rig.rest.base_url) as door:
            door.instead[f"/{definition}/xml"] = {"id": definition, "bpmn20Xml": process(inside).xml}
            worker = await rig.start_worker(engine_url=door.url, topics="", discovery_seconds=1)
            await healthy(rig, sound)
            await wait_until(lambda: [each for each in lines if each.get("definition") == definition], 20, "its name")
            await worker.stop()

    [said] = [each for each in lines if each["event"] == Event.TOPIC_NOT_SERVED and each["definition"] == definition]
    assert "too large to be served: it is nested deeper than 200 elements" in said["reason"]
