"""Budgets on the real engine: what a call may take is counted before it is made, whatever the API."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.flow.command import Ran, assistant_worker, environment
from tests.flow.rig import Rig
from tests.flow.test_apis import seen
from tests.flow.test_costs import PROVIDERS
from worker.domain.money import Money
from worker.domain.providers import Api

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def limit(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    """Write the budgets of a test; prices are there, and each call has a bound."""
    monkeypatch.setenv("FLOW_KEY", "test-key-never-logged")
    rig.assistant(more="max_output_tokens: 2000")
    file = tmp_path / "budgets.yaml"
    rig.settings |= {"budgets_file": file, "openai_base_url": None, "openai_api_key": None}
    return file.write_text


def over(rig: Rig, api: Api, folder: Path) -> None:
    file = folder / "providers.yaml"
    file.write_text(PROVIDERS.format(api=api, url=rig.provider.base_url))
    rig.settings |= {"providers_file": file}


async def listed(rig: Rig, *arguments: str) -> Ran:
    return await assistant_worker(environment(rig, flow_key="test-key-never-logged"), "budgets", *arguments)


@pytest.mark.parametrize("api", ["conversations", "responses", "chat"])
async def test_what_an_instance_has_used_is_counted_and_its_next_call_is_not_made(
    rig: Rig, limit: Callable[[str], int], tmp_path: Path, api: Api
) -> None:
    over(rig, api, tmp_path)
    limit("currency: EUR\nbudgets:\n  instance: {money: 0.0033}\n  assistant analyst: {tokens: 1000000}\n")
    model = await rig.deploy(rig.step("one"), rig.step("two"))
    await rig.start_worker()
    instance = await rig.rest.start(model)
    await rig.until_failed(instance, 60)
    [incident] = await rig.rest.incidents(instance)
    cost = Money(**(await rig.meta(instance, "one"))["cost"])
    table, found = await listed(rig), (await listed(rig, "instance", "--json")).json

    assert f"the budget of instance {instance} is 0.0033 EUR; {cost} are used" in incident["incidentMessage"]
    assert not any("Please do two" in each for each in seen(rig, api))
    [mine] = [each for each in found if each["what"] == f"instance {instance}"]
    assert (mine["money"], mine["most_money"], mine["setting"]) == (str(cost), "0.0033 EUR", "instance")
    assert "assistant analyst" in table.out


async def test_a_raised_budget_and_a_retry_go_on_where_the_instance_stopped(
    rig: Rig, limit: Callable[[str], int], tmp_path: Path
) -> None:
    over(rig, "conversations", tmp_path)
    limit("budgets:\n  instance: {tokens: 2100}\n")
    model = await rig.deploy(rig.step("one"), rig.step("two"))
    worker = await rig.start_worker()
    instance = await rig.rest.start(model)
    await rig.until_failed(instance, 60)
    await worker.stop()
    limit("budgets:\n  instance: {tokens: 9000}\n")
    await rig.start_worker()
    [task] = await rig.rest.tasks(instance)
    await rig.rest.put(f"external-task/{task['id']}/retries", {"retries": 1})
    await rig.rest.wait_for_end(instance, 60)

    assert len(rig.questions()) == 2


async def test_the_model_catches_what_a_budget_does_not_allow(
    rig: Rig, limit: Callable[[str], int], tmp_path: Path
) -> None:
    over(rig, "chat", tmp_path)
    limit("budgets:\n  task: {tokens: 2000}\n")
    # Nothing catches it here, so that the path ends without an incident.
    step = rig.step("one")
    model = await rig.deploy(replace(step, properties={**step.properties, "error.over_budget": "TOO_DEAR"}))
    await rig.start_worker()
    instance = await rig.rest.start(model)
    await rig.rest.wait_for_end(instance, 60)

    assert seen(rig, "chat") == []
    assert "one" not in await rig.rest.variables(instance)


async def test_the_command_says_that_there_are_no_budgets(rig: Rig) -> None:
    done = await listed(rig)
    assert (done.code, done.err) == (2, "there are no budgets: BUDGETS_FILE is not set\n")
