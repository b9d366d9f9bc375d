"""The sample decision, on whichever engine the tests run."""

import json
from pathlib import Path

from tests.flow.rig import Rig

BPMN = Path(__file__).parents[2] / "bpmn"


async def test_four_steps_of_a_decision_are_four_turns_on_one_thread(rig: Rig) -> None:
    rig.folder = BPMN / "assistants"
    await rig.rest.deploy(BPMN / "decision" / "decision.bpmn")
    await rig.start_worker(topics="", discovery_seconds=1)
    instance = await rig.rest.start("decision", json.loads((BPMN / "decision" / "decision.json").read_text("utf-8")))
    await rig.rest.wait_for_end(instance, 40)

    assert list(rig.provider.counts()["turns"].values()) == [4]
    assert (await rig.rest.variables(instance))["recommendation"]
