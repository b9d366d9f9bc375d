"""What the scaler of deploy/kubernetes asks the engine, on a real one."""

from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import yaml

from tests.models import ServiceTask, bpmn, unique
from tests.rest import EngineRest

SCALER: Final = Path(__file__).parents[2] / "deploy" / "kubernetes" / "components" / "keda" / "scaled-object.yaml"


async def test_tasks_that_wait_or_are_worked_on_count_and_dead_and_suspended_ones_do_not(
    engine_rest: EngineRest,
) -> None:
    trigger, _ = yaml.safe_load(SCALER.read_text("utf-8"))["spec"]["triggers"]
    address = urlsplit(trigger["metadata"]["url"])
    topic = unique("topic")
    asked = dict(parse_qsl(address.query)) | {"topicName": topic}

    async def counted() -> int:
        answer = await engine_rest.get(address.path.removeprefix("/engine-rest/"), **asked)
        return int(answer[trigger["metadata"]["valueLocation"]])

    model = bpmn(ServiceTask("step", topic))
    await engine_rest.deploy(model)
    instances = [await engine_rest.start(model) for _ in range(4)]
    assert await counted() == 4

    lock = {"workerId": "x", "maxTasks": 1, "topics": [{"topicName": topic, "lockDuration": 60_000}]}
    [locked] = await engine_rest.post("external-task/fetchAndLock", lock)
    assert await counted() == 4

    dead, suspended, *_ = [each for each in instances if each != locked["processInstanceId"]]
    [task] = await engine_rest.tasks(dead)
    await engine_rest.put(f"external-task/{task['id']}/retries", {"retries": 0})
    assert await counted() == 3
    await engine_rest.put(f"process-instance/{suspended}/suspended", {"suspended": True})
    assert await counted() == 2
