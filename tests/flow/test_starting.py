"""The folder that `assistant-worker init` writes is one that works."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.flow.command import COMMAND, assistant_worker
from tests.flow.rig import Rig
from tests.waiting import wait_until
from worker.demo.processes import Process, running
from worker.demo.stage import PYTHON_ENVIRONMENT


async def test_the_folder_works_as_it_is(rig: Rig, tmp_path: Path) -> None:
    done = await assistant_worker(PYTHON_ENVIRONMENT, "init", "mine", folder=tmp_path)
    assert (done.code, done.err) == (0, "")
    await check_works_as_it_is(rig, tmp_path / "mine", COMMAND, PYTHON_ENVIRONMENT)


async def check_works_as_it_is(rig: Rig, folder: Path, command: Sequence[str], environment: Mapping[str, str]) -> None:
    """A worker that is started there takes the process of the folder to its end, on one thread."""
    # What is not where the folder says, on the machine of the tests.
    elsewhere = {
        "ENGINE_URL": rig.rest.base_url,
        "REDIS_URL": rig.redis_url,
        "OPENAI_API_KEY": "key",
        "OPENAI_BASE_URL": rig.provider.base_url,
        "HEALTH_PORT": "0",
        "API_PORT": "0",
    }
    worker = Process(
        "worker",
        command,
        ready=lambda: "worker_started" in worker.log_tail(),
        directory=folder,
        env={**environment, **elsewhere},
    )

    await rig.rest.deploy(folder / "enquiry.bpmn")
    async with running(worker):
        instance = await started_by_its_form(rig, "enquiry")
        task = await person_s_task(rig, instance)
        shown = await rig.rest.get(f"task/{task['id']}/form-variables")
        await rig.rest.post(f"task/{task['id']}/submit-form", {"variables": {"reply": shown["reply"]}})
        await rig.rest.wait_for_end(instance)

    assert "Draft the reply" in shown["reply"]["value"]
    asked, drafted = [await rig.meta(instance, output) for output in ("questions", "reply")]
    assert (asked["use"], drafted["use"]) == ("created", "reused")
    assert asked["thread"] == drafted["thread"]
    assert (folder / "transcript.db").is_file()


async def started_by_its_form(rig: Rig, key: str) -> str:
    """An instance that is started with what its form proposes."""
    proposed = await rig.rest.get(f"process-definition/key/{key}/form-variables")
    variables = {name: {"type": each["type"], "value": each["value"]} for name, each in proposed.items()}
    body = await rig.rest.post(f"process-definition/key/{key}/submit-form", {"variables": variables})
    return str(body["id"])


async def person_s_task(rig: Rig, instance: str) -> dict[str, Any]:
    async def there() -> dict[str, Any] | None:
        tasks = await rig.rest.get("task", processInstanceId=instance)
        return tasks[0] if tasks else None

    return await wait_until(there, 30, "the person's task")
