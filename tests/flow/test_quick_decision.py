"""The application `quick_decision`: one signature, or none in time."""

import pytest

from tests.flow.rig import Rig
from tests.flow.test_approval import reached, started, until_person


@pytest.fixture
async def asked(rig: Rig) -> tuple[Rig, str, str]:
    """An instance that waits for the signature, and its task."""
    instance = await started(rig, "quick_decision", topics="quick-decisions")
    return rig, instance, await until_person(rig, instance, "sign")


async def test_who_signs_has_the_figures_before_them_and_a_task_that_says_neither_stays(
    asked: tuple[Rig, str, str],
) -> None:
    rig, instance, task = asked
    shown = await rig.rest.get(f"task/{task}/form-variables")
    assert {"question", "quick_frame", "weighing", "recommendation"} <= shown.keys()
    assert "signature" not in shown
    with pytest.raises(AssertionError, match="signature"):
        await rig.rest.post(f"task/{task}/complete", {})

    await rig.rest.post(f"task/{task}/submit-form", {"variables": {"signature": {"value": "rejected"}}})
    await rig.rest.wait_for_end(instance)
    assert await reached(rig, instance) >= {"rejected"}
    assert (await rig.rest.variables(instance))["recommended"] == "Hired van"


async def test_without_a_signature_in_time_nothing_is_decided(asked: tuple[Rig, str, str]) -> None:
    rig, instance, _ = asked
    [timer] = await rig.rest.get("job", processInstanceId=instance, timers=True)
    await rig.rest.post(f"job/{timer['id']}/execute")
    await rig.rest.wait_for_end(instance)

    ends = await reached(rig, instance)
    assert "not_decided" in ends
    assert not ends & {"decided", "rejected"}
