"""Assistants that travel with their process: `service.name=deployment:<name>.md`."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.flow.rig import Rig
from tests.models import Model, bpmn, unique
from worker.domain.tasks import thread_variable_name

SPEC = """\
---
name: analyst
version: "{version}"
model: gpt-5-mini
max_output_tokens: 500
---
{instructions}
"""
HERE = "deployment:analyst.md"


@pytest.fixture
def deployed(rig: Rig) -> Rig:
    """The rig, whose workers take assistants from deployments."""
    rig.settings["deployed_assistants"] = "openai/gpt-5-mini=1000"
    return rig


async def deploy(rig: Rig, folder: Path, model: Model, instructions: str, version: str = "1") -> None:
    file = folder / "analyst.md"
    file.write_text(SPEC.format(instructions=instructions, version=version))
    await rig.rest.deploy(model, file)


def instructions(rig: Rig) -> list[str]:
    return [each["body"]["instructions"] for each in rig.provider.requests("responses.create")]


async def test_an_instance_is_answered_by_the_spec_of_its_own_version_of_the_process(
    deployed: Rig, tmp_path: Path
) -> None:
    key = unique("process")
    model = bpmn(deployed.step("frame", HERE), deployed.step("choose", HERE), key=key)
    await deploy(deployed, tmp_path, model, "You weigh offers.")
    old = await deployed.rest.start(model)
    await deploy(deployed, tmp_path, model, "You doubt offers.", version="2")
    new = await deployed.rest.start(model)
    await deployed.start_worker()
    for instance in (old, new):
        await deployed.rest.wait_for_end(instance)

    assert sorted(instructions(deployed)) == ["You doubt offers."] * 2 + ["You weigh offers."] * 2
    metas = [await deployed.meta(each, "choose") for each in (old, new)]
    name = f"deployment:{key}:analyst"
    assert [(each["assistant"], each["version"], each["use"]) for each in metas] == [
        (name, "1", "reused"),
        (name, "2", "reused"),
    ]
    digests = [each["instructions"] for each in metas]
    assert digests[0] != digests[1]
    assert sha256(b"You weigh offers.").hexdigest().startswith(digests[0])
    assert thread_variable_name(name) in await deployed.rest.variables(old)


async def test_what_one_process_brings_reaches_neither_another_process_nor_the_house(
    deployed: Rig, tmp_path: Path
) -> None:
    shared = {"service_thread": "business-key"}
    mine = bpmn(deployed.step("one", HERE, **shared), key=unique("process"))
    yours = bpmn(deployed.step("one", HERE, **shared), key=unique("process"))
    ours = bpmn(deployed.step("one", "analyst", **shared), key=unique("process"))
    await deploy(deployed, tmp_path, mine, "You are mine.")
    await deploy(deployed, tmp_path, yours, "You are yours.")
    await deployed.rest.deploy(ours)
    await deployed.start_worker()
    for model in (mine, yours, ours, mine):
        instance = await deployed.rest.start(model, business_key=deployed.topic)
        await deployed.rest.wait_for_end(instance)

    asked = [each["body"] for each in deployed.provider.requests("responses.create")]
    on = [
        each["conversation"]["id"] if isinstance(each["conversation"], dict) else each["conversation"] for each in asked
    ]
    assert len(set(on)) == 3
    assert on[0] == on[3], "the same process goes on with its own"
    assert [each["instructions"] for each in asked] == [
        "You are mine.",
        "You are yours.",
        "You are analyst in version 1.0.",
        "You are mine.",
    ]


async def test_where_none_are_taken_the_task_is_an_incident_that_says_so(rig: Rig, tmp_path: Path) -> None:
    model = bpmn(rig.step("one", HERE))
    await deploy(rig, tmp_path, model, "Spend it all.")
    await rig.start_worker()
    task = await rig.until_failed(await rig.rest.start(model))

    assert task["retries"] == 0
    assert "property service.name: DEPLOYED_ASSISTANTS is off" in task["errorMessage"]
    assert rig.calls("responses.create") + rig.calls("conversations.create") == 0


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"service_name": "deployment:critic.md"}, "has no resource 'critic.md'"),
        ({"service_name": "deployment:analyst"}, "an assistant of the deployment is named deployment:<name>.md"),
        ({"service_version": "1"}, "service.version means nothing beside service.name"),
    ],
)
async def test_a_name_that_leads_to_no_spec_is_an_incident(
    deployed: Rig, tmp_path: Path, wish: dict[str, Any], said: str
) -> None:
    step = deployed.step("one", HERE)
    wanted = {name.replace("_", "."): value for name, value in wish.items()}
    model = bpmn(replace(step, properties={**step.properties, **wanted}))
    await deploy(deployed, tmp_path, model, "You weigh offers.")
    await deployed.start_worker()
    task = await deployed.until_failed(await deployed.rest.start(model))

    assert (task["retries"], said in task["errorMessage"]) == (0, True), task["errorMessage"]


async def test_a_spec_that_asks_for_more_than_is_allowed_is_an_incident_before_anything_is_asked(
    rig: Rig, tmp_path: Path
) -> None:
    rig.settings["deployed_assistants"] = "openai/gpt-5-nano=1000"
    model = bpmn(rig.step("one", HERE))
    await deploy(rig, tmp_path, model, "Spend it all.")
    await rig.start_worker()
    task = await rig.until_failed(await rig.rest.start(model))

    assert "it asks openai/gpt-5-mini, which DEPLOYED_ASSISTANTS does not allow" in task["errorMessage"]
    assert "allowed are openai/gpt-5-nano" in task["errorMessage"]
    assert rig.calls("responses.create") == 0


async def test_what_may_be_asked_is_said_for_each_process_and_each_tenant(rig: Rig, tmp_path: Path) -> None:
    mine, others = bpmn(rig.step("one", HERE)), bpmn(rig.step("one", HERE))
    rig.settings["deployed_assistants"] = f"openai/gpt-5-mini=1000 process={mine.key} tenant=north"
    instances = {}
    for model, tenant in ((mine, "north"), (mine, "south"), (mine, None), (others, "north")):
        file = tmp_path / "analyst.md"
        file.write_text(SPEC.format(instructions=f"You are of {tenant}.", version="1"))
        await rig.rest.deploy(model, file, tenant=tenant)
        instances[model.key, tenant] = await rig.rest.start(model, tenant=tenant)
    await rig.start_worker()
    await rig.rest.wait_for_end(instances[mine.key, "north"])

    for (key, tenant), said in {
        (mine.key, "south"): "of tenant south",
        (mine.key, None): "without a tenant",
        (others.key, "north"): "of tenant north",
    }.items():
        task = await rig.until_failed(instances[key, tenant])
        assert f"allows nothing to assistants that come with process {key} {said};" in task["errorMessage"]
        assert task["retries"] == 0
    assert instructions(rig) == ["You are of north."]
