"""The application `decision_frame`: eight steps on one thread, with results that have a structure."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
from defusedxml import ElementTree
from jsonschema import Draft202012Validator

from tests.flow.rig import Rig

BPMN = Path(__file__).parents[2] / "bpmn"
KEY = "decision_frame"
FOLDER = BPMN / KEY
SAMPLE: dict[str, Any] = json.loads((FOLDER / f"{KEY}.json").read_text("utf-8"))
SCHEMAS: Final = {
    "issues": "issues.schema.json",
    "categories": "categories.schema.json",
    "hierarchy": "hierarchy.schema.json",
    "influence_diagram": "influence_diagram.schema.json",
    "final_frame": "final_frame.schema.json",
}
"""Results that have to fit a schema, in the order of their steps."""
CAMUNDA: Final = "{http://camunda.org/schema/1.0/bpmn}"


@pytest.fixture
async def framed(rig: Rig) -> tuple[Rig, str]:
    """An instance of the sample that has run to its end."""
    rig.folder = BPMN / "assistants"
    await rig.rest.deploy(FOLDER / f"{KEY}.bpmn", *sorted(FOLDER.glob("*.schema.json")))
    await rig.start_worker(topics="decision-framing")
    instance = await rig.rest.start(KEY, SAMPLE)
    await rig.rest.wait_for_end(instance, 40)
    return rig, instance


def declared() -> list[list[str]]:
    """The inputs of each step, as the model has them."""
    model = ElementTree.fromstring((FOLDER / f"{KEY}.bpmn").read_text("utf-8"))
    values = [each.get("value", "") for each in model.iter(f"{CAMUNDA}property") if each.get("name") == "data.input"]
    return [[name.strip() for name in value.split(",")] for value in values]


async def test_eight_steps_are_one_conversation_and_each_is_shown_its_declared_inputs(framed: tuple[Rig, str]) -> None:
    rig, instance = framed
    assert list(rig.provider.counts()["turns"].values()) == [8]
    assert await rig.rest.incidents(instance) == []
    questions = rig.questions()
    shown = [re.findall(r"^### (\w+)", question, re.MULTILINE) for question in questions]
    assert shown == declared()
    assert len(questions) == 8


async def test_results_have_the_types_that_the_model_names_and_fields_are_variables(framed: tuple[Rig, str]) -> None:
    rig, instance = framed
    rows = await rig.rest.get("history/variable-instance", processInstanceId=instance, deserializeValues=False)
    types = {row["name"]: row["type"] for row in rows}
    values = {row["name"]: row["value"] for row in rows}
    assert {types[name] for name in ("stakeholders", "decision_context")} == {"String"}
    assert {types[name] for name in ("vision", *SCHEMAS)} == {"Json"}
    assert (types["frame_is_ready"], values["frame_is_ready"]) == ("Boolean", False)
    assert values["vision_statement"] == json.loads(values["vision"])["statement"]
    assert values["frame_statement"] == json.loads(values["final_frame"])["statement"]
    assert "for at most 64 M€" in values["frame_statement"]


async def test_structured_steps_send_their_schema_and_what_comes_back_fits_it(framed: tuple[Rig, str]) -> None:
    rig, instance = framed
    schemas = {name: json.loads((FOLDER / file).read_text("utf-8")) for name, file in SCHEMAS.items()}
    sent = [each["body"].get("text", {}).get("format", {}) for each in rig.provider.requests("responses.create")]
    assert [each["schema"] for each in sent if each.get("type") == "json_schema"] == list(schemas.values())
    results = await rig.rest.variables(instance)
    for name, schema in schemas.items():
        Draft202012Validator(schema).validate(json.loads(results[name]))
        assert (await rig.meta(instance, name))["repaired"] is False


async def test_every_issue_is_sorted_and_every_decision_placed(framed: tuple[Rig, str]) -> None:
    rig, instance = framed
    results = {
        name: json.loads(value) for name, value in (await rig.rest.variables(instance)).items() if name in SCHEMAS
    }
    issues = [each["id"] for each in results["issues"]["issues"]]
    assert sorted(each["issue"] for entries in results["categories"].values() for each in entries) == sorted(issues)
    hierarchy = results["hierarchy"]
    placed = [each["question"] for each in hierarchy["focus"]] + [each["decision"] for each in hierarchy["later"]]
    assert sorted(placed) == sorted(each["restated"] for each in results["categories"]["decisions"])
    assert [each["decision"] for each in hierarchy["given"]] == json.loads(SAMPLE["given"]["value"])
