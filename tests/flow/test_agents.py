"""What AGENTS.md teaches whoever models with a coding assistant: its commands run, and its examples are sound."""

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.flow.command import assistant_worker, environment
from tests.flow.rig import Rig
from tests.flow.test_approval import reached, until_person
from worker import cli
from worker.modelling.properties import BAD_OUTCOMES, PROPERTIES
from worker.operate import starting

FLOW = '<bpmn:sequenceFlow id="to_draft" sourceRef="read" targetRef="draft" />'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    starting.begin(tmp_path / "mine", overwrite=False)
    return tmp_path / "mine"


def blocks(folder: Path, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", (folder / "AGENTS.md").read_text(), re.DOTALL)


async def test_its_commands_run_as_they_stand_there(rig: Rig, folder: Path) -> None:
    commands = [shlex.split(line) for block in blocks(folder, "sh") for line in block.splitlines()]
    assert [words[1] for words in commands] == ["lint", "ask", "deploy", "start"]
    for program, *arguments in commands:
        # None of these settings is the folder's own, which name an engine that does not run here.
        done = await assistant_worker(environment(rig, assistants_dir=None), *arguments, folder=folder)
        assert (program, done.code) == ("assistant-worker", 0), (arguments, done)
    for deployed in await rig.rest.get("deployment", name="mine"):
        rig.rest.take_over(deployed["id"])


def extended(folder: Path) -> Path:
    """Put the example's step between the two of the folder's process, and its schema beside it. Returns the model."""
    [step], [schema] = blocks(folder, "xml"), blocks(folder, "json")
    model = (folder / "enquiry.bpmn").read_text()
    assert FLOW in model
    # The flow to the draft keeps its id, by which the diagram has it.
    between = FLOW.replace("draft", "rate") + FLOW.replace('"read"', '"rate"')
    error = '<bpmn:error id="no_rating_error" errorCode="NO_RATING" />'
    model = model.replace(FLOW, step + between).replace("<bpmn:process", f"{error}<bpmn:process", 1)
    (folder / "enquiry.bpmn").write_text(model)
    (folder / "rating.schema.json").write_text(schema)
    return folder / "enquiry.bpmn"


def test_its_step_is_sound_in_the_process_of_the_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extended(folder)
    assert cli.main(["lint", str(folder), "--assistants", str(folder / "assistants"), "--level", "note"]) == 0
    assert "1 model: nothing found." in capsys.readouterr().out


async def test_its_step_is_answered_in_its_form_and_a_refusal_goes_its_way(rig: Rig, folder: Path) -> None:
    await rig.rest.deploy(extended(folder), folder / "rating.schema.json")
    rig.folder = folder / "assistants"
    rating = {"urgency": 4, "why": "The new ones come in three weeks."}
    rig.provider.answer("# Rate the enquiry", json.dumps(rating))
    await rig.start_worker(topics="enquiries")
    given = json.loads((folder / "enquiry.json").read_text())
    rated = await rig.rest.start("enquiry", given)
    await until_person(rig, rated, "check")
    found = await rig.rest.variables(rated)
    assert (json.loads(found["rating"]), found["urgency"]) == (rating, 4)

    rig.provider.fault("responses.create", skip=1, times=1, outcome="refused")
    refused = await rig.rest.start("enquiry", given)
    await rig.rest.wait_for_end(refused)
    assert await reached(rig, refused) >= {"read", "rate", "no_rating"}


def test_it_teaches_every_property_and_every_outcome(folder: Path) -> None:
    text = (folder / "AGENTS.md").read_text()
    assert [each.name for each in PROPERTIES if f"| `{each.name}` | {each.values} |" not in text] == []
    assert [each for each in BAD_OUTCOMES if f"`{each}`" not in text] == []
    assert "{" not in re.sub(r"```.*?```|\$\{…\}", "", text, flags=re.DOTALL)
