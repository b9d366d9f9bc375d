"""The example of docs/testing.md, run as a stranger would, in a folder of its own."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.questions import KEY
from tests.flow.rig import SPEC
from worker.demo.jars import cache_directory
from worker.demo.model import ModelServer

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


EXAMPLES = re.findall(r"`([\w/]+\.(?:py|yaml|md))`[^`\n]*:\n\n```\w+\n(.*?)```", GUIDE, re.DOTALL)
REVIEWED = "cassettes/test_reviews/test_a_review_names_what_is_missing.yaml"
FAILING = """
import pytest
from test_reviews import MODEL


@pytest.fixture
def assistant_cassette_path(request):
    return request.path.parent / "{cassette}"


def test_another_offer(assistant_bench, assistant_cassette):
    assistant_bench.deploy(MODEL)
    assistant_bench.start("offers", offer="Thirteen chargers.", requirements=["180 kW each"]).wait_for_incident()


def test_nobody_waits(assistant_bench, assistant_cassette):
    assistant_bench.deploy(MODEL)
    instance = assistant_bench.start("offers", offer="Fourteen chargers.", requirements=["180 kW each"])
    while not instance.incidents:
        pass


def test_a_high_bar(assistant_bench, assistant_cassette, assistant_judge):
    assistant_bench.deploy(MODEL)
    instance = assistant_bench.start("offers", offer="Twelve chargers.", requirements=["180 kW each"])
    review = instance.wait_for("good_enough").variables["review"]
    assistant_judge("Does the review say that the power of the chargers is missing?", review, at_least=0.95)
"""


def _folder(place: Path, examples: dict[str, str]) -> None:
    (place / "assistants").mkdir()
    for name, code in examples.items():
        (place / name).write_text(code, "utf-8")
    (place / "offers.bpmn").write_text(MODEL, "utf-8")
    (place / "assistants" / "analyst.md").write_text(SPEC.format(name="analyst", version="1", timeout=20), "utf-8")
    (place / "pytest.ini").write_text("[pytest]\n")


def _run(place: Path, *options: str, **environment: str) -> tuple[int, str]:
    """Run pytest there as a stranger would, without a provider but one that is named."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", *options]
    rest = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    env = {**rest, "PYTHONPATH": str(ROOT), "ASSISTANT_WORKER_CACHE": str(cache_directory()), **environment}
    done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, check=False, timeout=300)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.sweep
@pytest.mark.timeout(600)
async def test_the_examples_of_the_guide_run_as_they_stand_there_recorded_once_and_then_replayed(
    tmp_path: Path,
) -> None:
    examples = dict(EXAMPLES)
    assert sorted(examples) == [
        "assistants/judge.md",
        "conftest.py",
        "providers.yaml",
        "test_offers.py",
        "test_reviews.py",
    ]
    _folder(tmp_path, examples)
    real_file = tmp_path / "providers.yaml"

    async with ModelServer(key=KEY) as real:
        real.answer("# Rate it", '{"score": 4}')
        real_file.write_text(examples["providers.yaml"].replace("{api", f"{{base_url: '{real.base_url}', api"), "utf-8")
        record = ["--assistants-record-mode=once", "test_reviews.py"]
        code, said = await asyncio.to_thread(_run, tmp_path, *record, OPENAI_API_KEY=KEY)
        assert (code, "1 passed" in said) == (0, True), said
        assert [each["call"] for each in real.requests()] == 2 * ["responses.create"] + ["decisions.create"]
    cassette = (tmp_path / REVIEWED).read_text("utf-8")
    assert KEY not in cassette
    assert "Twelve chargers." in cassette

    real_file.write_text(examples["providers.yaml"], "utf-8")
    (tmp_path / "test_failing.py").write_text(FAILING.format(cassette=REVIEWED), "utf-8")
    code, said = await asyncio.to_thread(_run, tmp_path)
    assert "2 failed, 5 passed, 1 error" in said, said
    assert re.search(r"^E +-    Twelve chargers\.\nE +\+    Thirteen chargers\.$", said, re.MULTILINE), said
    assert "judge finds it 0.90 probable, and 0.95 at least is wanted:" in said
    assert re.search(r"^\+    Fourteen chargers\.$", said, re.MULTILINE), "told at the end of the test"
    assert (tmp_path / REVIEWED).read_text("utf-8") == cassette
