"""One poisoned thing of each sort at once, all before ten healthy instances: those complete, and each sort is named."""

import asyncio
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests import poison
from tests.flow.gateway import gateway
from tests.flow.rig import Rig
from tests.models import Model
from tests.poison import POISONS
from tests.waiting import wait_until
from worker.operate import doctor
from worker.telemetry.logs import Event

pytestmark = pytest.mark.timeout(300)

UNSERVED = {name: each.unserved for name, each in POISONS.items() if each.unserved}
POLLED = [name for name in POISONS if name not in UNSERVED]


@pytest.mark.sweep
async def test_ten_healthy_instances_complete_behind_one_poisoned_thing_of_each_sort(kept: Rig) -> None:
    rig = kept
    await poison.remember(rig)
    healthy = await rig.deploy(rig.step("healthy", data_input="-"))
    async with gateway(rig.rest.base_url) as door:
        models = {name: await poison.deploy(rig, door, name, service_retries="1") for name in POISONS}
        poisoned = {name: await rig.rest.start(model, POISONS[name].variables) for name, model in models.items()}
        await rig.rest.start(await poison.deploy_unwritable(rig, door))
        instances = [await rig.rest.start(healthy) for _ in range(10)]
        rig.settings |= {"engine_url": door.url, "max_tasks": 3, "input_tokens": 10_000, "trouble_for_seconds": 1}
        rig.settings |= {"memory": "embedded"}
        with capture_logs() as lines:
            worker = await rig.start_worker(topics="", discovery_seconds=1)
            await asyncio.gather(*(rig.rest.wait_for_end(each, 120) for each in instances))
            await asyncio.gather(*(ends(rig, poisoned[name], name) for name in POLLED))
            await worker.stop()
        found = await doctor.findings(rig.build_settings(topics=""), calls=False)

        assert door.unwanted in {line["definition"] for line in lines if line["event"] == Event.LEFT_OUT}
        for name, reason in UNSERVED.items():
            assert reason in only_line(lines, models[name])["reason"]
            assert reason in only_finding(found, models[name])
        assert not [each for name in UNSERVED for each in await rig.rest.incidents(poisoned[name])]
        await an_incident_with_topics(rig, poisoned)


async def an_incident_with_topics(rig: Rig, poisoned: Mapping[str, str]) -> None:
    """What nobody polls for as its model cannot be read comes where TOPICS names its topic, and says the same."""
    names = [name for name in UNSERVED if POISONS[name].said]
    await rig.start_worker(topics=",".join(poison.topic_of(rig, name) for name in names))
    await asyncio.gather(*(ends(rig, poisoned[name], name) for name in names))


def only_line(lines: Iterable[MutableMapping[str, Any]], model: Model) -> MutableMapping[str, Any]:
    """The one line of the log that says that a definition is not served, however often it was looked at."""
    of_it = [line for line in lines if str(line.get("definition")).startswith(f"{model.key}:")]
    [line] = [line for line in of_it if line["event"] == Event.TOPIC_NOT_SERVED]
    assert line["log_level"] == "warning"
    return line


def only_finding(found: Iterable[doctor.Finding], model: Model) -> str:
    """What doctor says of a definition; it is bad, and there is something to do about it."""
    [row] = [each for each in found if each.subject.startswith(f"{model.key} version 1")]
    assert row.level in {doctor.Level.WARNING, doctor.Level.PROBLEM}
    assert row.advice
    return row.said


async def ends(rig: Rig, instance: str, name: str) -> None:
    """The instance completes, or its task says what is wrong with it."""
    await wait_until(lambda: poison.has_ended(rig, instance, name), 60, f"the end of {name}")
