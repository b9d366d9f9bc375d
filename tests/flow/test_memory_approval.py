"""A person approves in their own task what is to be remembered, by the form and the model that the guide shows."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flow.rig import Rig
from tests.flow.test_memory import patient
from tests.models import Model, element, line, process, unique
from tests.rest import connect
from tests.waiting import wait_until
from worker import bootstrap
from worker.demo.engine import Engine
from worker.domain.memory import KeptFact
from worker.modelling.subjects import named

GUIDE = Path(__file__).parents[2] / "docs" / "memory.md"
WORKER = "worker"


@pytest.fixture(scope="module")
def own(engine: Engine) -> Iterator[Engine]:
    """An engine that asks for a name: without, it does not note who did what."""
    with Engine(engine.kind, authenticate=True) as own:
        yield own


@pytest.fixture
async def approving(rig: Rig, own: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    """The rig on that engine, with a memory, and a worker who is not the person."""
    patient(monkeypatch)
    async with connect(own) as rest:
        if not await rest.get("user", id=WORKER):
            profile = {"id": WORKER, "firstName": WORKER, "lastName": WORKER}
            await rest.post("user/create", {"profile": profile, "credentials": {"password": WORKER}})
        rig.rest = rest
        rig.settings |= {
            "engine_user": WORKER,
            "engine_password": WORKER,
            "api_port": 0,
            "transcript_url": f"sqlite:///{tmp_path}/transcript.db",
            "memory": "embedded",
        }
        yield rig


async def deployed(rig: Rig, folder: Path) -> Model:
    """Deploy a step that proposes, and behind it what the guide shows."""
    person, form, approval = re.findall(r"```(?:xml|json)\n(<bpmn.*?|\{\n.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    topic = unique("approvals")
    approval = approval.replace('camunda:topic="approvals"', f'camunda:topic="{topic}"')
    wanted = {"memory_subject": "business-key", "memory_approve": "true", "data_input": "-"}
    model = process(
        line(
            element(rig.step("settle", **wanted)),
            person.replace('candidateGroups="accounts"', 'assignee="demo"'),
            approval,
        )
    )
    (folder / "remember.form").write_text(form)
    await rig.rest.deploy(model, folder / "remember.form")
    await rig.start_worker(topics=f"{rig.topic},{topic}")
    return model


async def to_review(rig: Rig, instance: str) -> str:
    async def there() -> str | None:
        assert await rig.rest.incidents(instance) == []
        return next((each["id"] for each in await rig.rest.get("task", processInstanceId=instance)), None)

    return str(await wait_until(there, 30, "a task for a person"))


async def facts(rig: Rig, key: str) -> list[KeptFact]:
    async with bootstrap.connect(rig.build_settings()) as adapters:
        assert adapters.facts is not None
        subject = named("business-key", key, None, rig.build_settings().engine_name)
        return await adapters.facts.facts(subject.digest)


def said(value: Any) -> dict[str, Any]:
    return {"variables": {"keep": {"value": value, "type": "Boolean"}}}


async def test_what_a_person_approves_in_their_task_is_recalled_and_what_a_variable_says_is_not(
    approving: Rig, tmp_path: Path
) -> None:
    rig, key = approving, unique("key")
    model = await deployed(rig, tmp_path)

    forged = await rig.rest.start(model, {"keep": {"value": True, "type": "Boolean"}}, business_key=key)
    person = await to_review(rig, forged)
    await rig.rest.put(f"process-instance/{forged}/variables/keep", {"value": True, "type": "Boolean"})
    await rig.rest.post(f"task/{person}/complete", {})
    await rig.rest.wait_for_end(forged)
    found = await rig.rest.variables(forged)
    assert (found["approved"], found["why"]) == (0, "review was completed past its form: it does not say keep")

    approved = await rig.rest.start(model, {}, business_key=key)
    await rig.rest.post(f"task/{await to_review(rig, approved)}/submit-form", said(value=True))
    await rig.rest.wait_for_end(approved)
    assert json.loads((await rig.rest.variables(approved))["approve"]) == {
        "accepted": True,
        "approved": 1,
        "refused": 0,
        "why": "",
    }
    assert [(each.instance, each.state, each.approved_by) for each in await facts(rig, key)] == [
        (approved, "approved", "demo"),
        (forged, "proposed", None),
    ]

    refused = await rig.rest.start(model, {}, business_key=key)
    person = await to_review(rig, refused)
    recalled = (await rig.meta(refused, "settle"))["recalled"]
    [known] = [each.id for each in await facts(rig, key) if each.state == "approved"]
    assert (recalled["facts"], recalled["of"]) == ([known], 1)
    await rig.rest.post(f"task/{person}/submit-form", said(value=False))
    await rig.rest.wait_for_end(refused)
    assert refused not in {each.instance for each in await facts(rig, key)}
