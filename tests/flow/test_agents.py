"""What AGENTS.md teaches whoever models with a coding assistant: its commands run, and its examples are sound."""

import re
import shlex
from pathlib import Path

import pytest

from tests.flow.command import assistant_worker, environment
from tests.flow.rig import Rig
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


def test_its_step_is_sound_in_the_process_of_the_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [step], [schema] = blocks(folder, "xml"), blocks(folder, "json")
    model = (folder / "enquiry.bpmn").read_text()
    assert FLOW in model
    between = FLOW.replace("draft", "rate") + FLOW.replace("to_draft", "rated").replace('"read"', '"rate"')
    error = '<bpmn:error id="no_rating_error" errorCode="NO_RATING" />'
    model = model.replace(FLOW, step + between).replace("<bpmn:process", f"{error}<bpmn:process", 1)
    (folder / "enquiry.bpmn").write_text(model)
    (folder / "rating.schema.json").write_text(schema)
    assert cli.main(["lint", str(folder), "--assistants", str(folder / "assistants"), "--level", "note"]) == 0
    assert "1 model: nothing found." in capsys.readouterr().out


def test_it_teaches_every_property_and_every_outcome(folder: Path) -> None:
    text = (folder / "AGENTS.md").read_text()
    assert [each.name for each in PROPERTIES if f"| `{each.name}` | {each.values} |" not in text] == []
    assert [each for each in BAD_OUTCOMES if f"`{each}`" not in text] == []
    assert "{" not in re.sub(r"```.*?```|\$\{…\}", "", text, flags=re.DOTALL)
