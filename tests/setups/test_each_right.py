"""Each right that README lists: what fails without it alone, and what doctor says then."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from tests.flow.command import assistant_worker, environment
from tests.flow.rig import Rig
from tests.flow.strict import User, strict, user
from tests.flow.test_rights import FILE, deploy_with_schema, until_incident, with_schema
from worker import bootstrap
from worker.engine.info import DEFINITION, RIGHTS
from worker.operate import doctor
from worker.operate.doctor import Finding, Level

__all__ = ["strict", "user"]

DEFINITIONS = "on process definitions"
LISTED = {f"{permission} on {resource}": purpose for purpose, ((permission, (resource, _)), *_) in RIGHTS.items()}
POLLS = 3
"""So many polls that bring nothing are proof enough."""


async def doctor_says(rig: Rig) -> Mapping[str, Finding]:
    """What doctor finds about the engine, by subject."""
    return {
        each.subject: each for each in await doctor.findings(rig.build_settings(topics=())) if each.area == "engine"
    }


@pytest.mark.parametrize("lacking", LISTED)
async def test_doctor_names_the_one_right_that_is_missing_and_what_it_is_for(
    strict: Rig, user: User, lacking: str
) -> None:
    await user.may_all_but(lacking)

    found = (await doctor_says(strict))["rights"]

    assert found.level is not Level.OK
    assert f"to {LISTED[lacking]}: {lacking}" in found.said
    assert "; none" not in found.said, "no other one is missing"


async def test_the_other_choice_of_rights_is_as_good(strict: Rig, user: User) -> None:
    await user.may_all_but(choice=1)
    key = await deploy_with_schema(strict, with_schema(strict), strict.step("look", data_input="plan"))
    await strict.start_worker(topics=())

    await strict.rest.wait_for_end(await strict.rest.start(key, {"plan": FILE}))

    assert (await doctor_says(strict))["rights"].level is Level.OK


@pytest.mark.parametrize(
    ("lacking", "level"),
    [
        (f"READ {DEFINITIONS}", Level.PROBLEM),
        (f"READ_INSTANCE {DEFINITIONS}", Level.WARNING),
        (f"UPDATE_INSTANCE {DEFINITIONS}", Level.WARNING),
    ],
)
async def test_without_the_rights_of_the_main_path_tasks_wait_untouched(
    strict: Rig, user: User, lacking: str, level: Level
) -> None:
    await user.may_all_but(lacking)
    instance = await strict.rest.start(await strict.deploy(strict.step("frame")))
    await strict.start_worker(topics=())

    await asyncio.sleep(POLLS * strict.build_settings().poll_seconds)

    [task] = await strict.rest.tasks(instance)
    assert (task["workerId"], task["retries"]) == (None, None)
    assert strict.provider.conversations() == {}
    assert (await doctor_says(strict))["rights"].level is level


async def test_a_model_that_may_not_be_read_on_a_topic_that_was_named_is_an_incident(strict: Rig, user: User) -> None:
    await user.may_all_but(f"READ {DEFINITIONS}")
    model = await strict.deploy(strict.step("frame"))
    await strict.start_worker()

    said = await until_incident(strict, await strict.rest.start(model))

    assert "cannot be read: the engine denies us a right: 403 AuthorizationException" in said
    assert "'READ' permission" in said


async def test_without_the_right_to_history_work_goes_on_and_what_is_over_is_not_known(strict: Rig, user: User) -> None:
    await user.may_all_but(f"READ_HISTORY {DEFINITIONS}")
    model = await strict.deploy(strict.step("frame"), strict.step("rate"))
    await strict.start_worker(topics=())

    instance = await strict.run(model)

    async with bootstrap.connect(strict.build_settings()) as adapters:
        assert await adapters.engine.instances.ended([instance]) == {}
        assert await adapters.engine.activity_states(instance) == {}
    waiting = await strict.rest.start(await strict.deploy(strict.step("later", topic="nobodys")))
    found = (await doctor_says(strict))["history"]
    assert (found.level, "may not read it" in found.said) == (Level.WARNING, True)
    assert await strict.rest.state(waiting) == "ACTIVE"


@pytest.mark.usefixtures("kept")
async def test_without_the_right_to_delete_history_an_erasure_stays_open_until_it_is_granted(
    strict: Rig, user: User
) -> None:
    await user.may_all_but(f"DELETE_HISTORY {DEFINITIONS}")
    instance = await over(strict)

    receipt = await erased(strict, instance)

    [step] = [each for each in receipt["steps"] if each["store"] == "engine"]
    assert (step["status"], "DELETE_HISTORY" in step["why"]) == ("open", True)
    assert "assistant_thread_analyst" in await strict.rest.variables(instance)

    await user.may("DELETE_HISTORY", DEFINITION)
    again = await erased(strict, instance)

    assert {each["status"] for each in again["steps"]} == {"removed"}
    assert "assistant_thread_analyst" not in await strict.rest.variables(instance)


@pytest.mark.usefixtures("kept")
async def test_without_the_right_to_read_the_historys_variables_they_stay_and_the_receipt_has_none(
    strict: Rig, user: User
) -> None:
    """The engine hides them: they look like variables that are gone. Doctor says so."""
    await user.may_all_but(f"READ_HISTORY_VARIABLE {DEFINITIONS}")
    instance = await over(strict)

    receipt = await erased(strict, instance)

    assert [each for each in receipt["steps"] if each["store"] == "engine"] == []
    assert "assistant_thread_analyst" in await strict.rest.variables(instance)


async def over(rig: Rig) -> str:
    """An instance with one thread that is over; no worker runs any more."""
    worker = await rig.start_worker(topics=())
    instance = await rig.run(await rig.deploy(rig.step("frame")))
    await worker.stop()
    return instance


async def erased(rig: Rig, instance: str) -> Any:
    """The receipt of an order to erase."""
    ran = await assistant_worker(environment(rig), "threads", "erase", instance, "--yes", "--json")
    assert ran.out, ran.err
    return ran.json
