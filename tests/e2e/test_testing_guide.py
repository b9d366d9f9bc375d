"""The example of docs/testing.md, run as a stranger would, in a folder of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.flow.rig import SPEC
from worker.demo.jars import cache_directory

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "testing.md").read_text("utf-8")


def _property(name: str, value: str) -> str:
    return f'<camunda:property name="{name}" value="{value}" />'


def _step(id_: str, name: str, *said: str) -> str:
    properties = "".join(
        _property(*each.split("=", 1)) for each in ("service.type=assistant", "service.name=analyst", *said)
    )
    return f"""
    <bpmn:serviceTask id="{id_}" name="{name}" camunda:type="external" camunda:topic="kit" camunda:asyncAfter="true">
      <bpmn:documentation>Please do it.</bpmn:documentation>
      <bpmn:extensionElements><camunda:properties>{properties}</camunda:properties></bpmn:extensionElements>
    </bpmn:serviceTask>"""


def _flow(source: str, target: str, condition: str = "") -> str:
    inside = f'<bpmn:conditionExpression xsi:type="bpmn:tFormalExpression">{condition}</bpmn:conditionExpression>'
    ends = f'id="{source}_{target}" sourceRef="{source}" targetRef="{target}"'
    return f"\n    <bpmn:sequenceFlow {ends}>{inside if condition else ''}</bpmn:sequenceFlow>"


STEPS = _step("review", "Review the offer", "data.input=offer, requirements") + _step(
    "rate", "Rate it", "data.input=-", "data.output.fields=score"
)
FLOWS = (
    _flow("start", "review")
    + _flow("review", "rate")
    + _flow("rate", "good_enough")
    + _flow("good_enough", "decide", "${score &gt; 3}")
    + _flow("good_enough", "rejected")
    + _flow("decide", "accepted")
)
MODEL = f"""<?xml version="1.0" encoding="UTF-8"?>
<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL" targetNamespace="kit"
    xmlns:camunda="http://camunda.org/schema/1.0/bpmn" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <bpmn:process id="offers" isExecutable="true" camunda:historyTimeToLive="P1D">
    <bpmn:startEvent id="start" />{STEPS}
    <bpmn:exclusiveGateway id="good_enough" default="good_enough_rejected" />
    <bpmn:userTask id="decide" /><bpmn:endEvent id="accepted" /><bpmn:endEvent id="rejected" />{FLOWS}
  </bpmn:process>
</bpmn:definitions>
"""


def test_the_example_of_the_guide_runs_as_it_stands_there(tmp_path: Path) -> None:
    examples = dict(re.findall(r"`(\w+\.py)`:\n\n```python\n(.*?)```", GUIDE, re.DOTALL))
    assert sorted(examples) == ["conftest.py", "test_offers.py"]
    for name, code in examples.items():
        (tmp_path / name).write_text(code, "utf-8")
    (tmp_path / "offers.bpmn").write_text(MODEL, "utf-8")
    (tmp_path / "assistants").mkdir()
    (tmp_path / "assistants" / "analyst.md").write_text(SPEC.format(name="analyst", version="1", timeout=20), "utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")

    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ASSISTANT_WORKER_CACHE": str(cache_directory())}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
