"""The element templates: made of the table of properties, kept in a folder, and what a task that uses one comes to."""

import json
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import pytest

from tests.unit.lint.sound import ANALYST
from worker import cli
from worker.engine import definitions
from worker.modelling import properties
from worker.modelling.forms import CHOICES
from worker.modelling.properties import BAD_OUTCOMES, PROPERTIES, Property
from worker.operate.models import approvals, records, tasks
from worker.operate.models.rules import Rule
from worker.operate.templates import kinds, texts
from worker.operate.templates.kinds import KINDS, Kind, template

EACH = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.id)
CAMUNDA, BPMN = definitions.EXTENSIONS[0], "{http://www.omg.org/spec/BPMN/20100524/MODEL}"


def fields(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The fields of a template by the extension property that they are of."""
    return {
        each["binding"]["name"]: each for each in made["properties"] if each["binding"]["type"] == "camunda:property"
    }


def test_every_property_has_a_field_in_some_template() -> None:
    shown = {name for kind in KINDS for name in fields(template(kind, None))}
    named = {each.name for each in PROPERTIES} - {"error.<outcome>"} | {f"error.{each}" for each in BAD_OUTCOMES}
    assert shown == named


def test_a_property_that_is_added_to_the_table_gets_its_field_and_group(monkeypatch: pytest.MonkeyPatch) -> None:
    added = Property("colour.of_tie", "a `colour`", "none")
    monkeypatch.setattr(kinds, "PROPERTIES", (*PROPERTIES, added))
    made = [template(kind, None) for kind in KINDS]
    assert ["colour.of_tie" in fields(each) for each in made] == [True, True, True, False, False]
    assert {"id": "colour", "label": "Colour"} in made[0]["groups"]
    assert fields(made[0])["colour.of_tie"]["description"] == "A colour. Empty: none."


def test_every_field_is_called_in_words_with_its_property_behind() -> None:
    shown = [each for kind in KINDS for each in fields(template(kind, None)).items() if each[0] != "service.type"]
    labels = {name: each["label"] for name, each in shown}
    assert [name for name, label in labels.items() if not label.endswith(f" ({name})")] == []
    assert {*labels} == {*kinds.TITLES}
    assert len({*labels.values()}) == len(labels)


def test_what_is_to_be_written_stands_in_a_description_as_it_is() -> None:
    made = fields(template(KINDS[0], None))
    assert made["memory.remember"]["description"] == "false: the answer is not remembered."
    assert made["service.name"]["description"].endswith(" Needed, unless the input parameter assistant is there.")


@EACH
def test_what_is_needed_stands_first_and_what_a_kind_is_about_before_the_rest(kind: Kind) -> None:
    order = [*fields(template(kind, None))][1:]  # behind what nobody sees
    first = {each for each in order if each in kind.needed | kind.about | {"service.name"}}
    assert {*order[: len(first)]} == first
    firsts = {"decision-record": "record.stage", "memory-approval": "memory.signed"}
    assert order[0] == firsts.get(kind.service_type, "service.name")


@EACH
def test_choices_are_those_of_the_table_and_one_for_none(kind: Kind) -> None:
    for name, each in fields(template(kind, None)).items():
        if name == "service.type" or name not in CHOICES:
            assert "choices" not in each
            continue
        assert [choice for choice in each["choices"] if len(choice["name"]) > 42] == []  # a panel cuts them
        values = [choice["value"] for choice in each["choices"]]
        assert set(values) - {""} <= set(CHOICES[name])
        assert ("" in values) == (name not in kind.needed)
        assert each["value"] == values[0]


def test_assistants_that_are_known_can_be_chosen_and_others_be_written_where_none_is() -> None:
    known = fields(template(KINDS[0], ["analyst", "challenger"]))["service.name"]
    assert [each["value"] for each in known["choices"]] == ["", "analyst", "challenger"]
    assert fields(template(KINDS[0], None))["service.name"]["type"] == "String"


@EACH
def test_nothing_in_a_text_is_taken_for_a_tag(kind: Kind) -> None:
    for each in template(kind, ["analyst"])["properties"]:
        assert not set("<>`") & set(each.get("label", "") + each.get("description", ""))


def test_a_later_version_of_the_worker_has_later_templates() -> None:
    versions = [kinds.version(each) for each in ("0.1.0", "0.1.1", "0.2", "0.10.0", "1.0.0rc1")]
    assert versions == sorted(set(versions))


def applied(made: dict[str, Any], **said: str) -> str:
    """A model with a task as Modeler writes it with this template: what nobody filled in is an empty value."""
    root = Element(f"{BPMN}definitions")
    task = SubElement(SubElement(root, f"{BPMN}process", id="p"), f"{BPMN}serviceTask", id="t", name="Step")
    SubElement(task, f"{BPMN}documentation").text = "What?"
    group = SubElement(SubElement(task, f"{BPMN}extensionElements"), f"{CAMUNDA}properties")
    for each in made["properties"]:
        binding, value = each["binding"], each.get("value", "")
        if binding["type"] == "property":
            assert binding["name"].startswith("camunda:")
            given = str(value).lower() if isinstance(value, bool) else value or "topic"
            task.set(CAMUNDA + binding["name"].removeprefix("camunda:"), given)
        else:
            value = said.get(binding["name"].replace(".", "_"), value)
            SubElement(group, f"{CAMUNDA}property", name=binding["name"], value=value)
    return tostring(root, "unicode")


@EACH
def test_a_task_with_a_template_of_which_only_what_is_needed_was_filled_in_is_right(kind: Kind) -> None:
    asked = json.dumps([{"name": "fits", "type": "predicate", "instructions": "It fits."}])
    definition = definitions.read(
        "p:1:1",
        applied(template(kind, ["analyst"]), service_name="analyst", data_questions=asked, memory_signed="review"),
    )
    [activity] = definition.activities.values()
    if activity.is_record:
        found = records.faults(activity, definition, [definition])
        assert [each.rule for each in found] == [Rule.RECORD_PARTS]  # which are for other tasks
    elif activity.is_approval:
        assert [*approvals.faults(activity, definition)] == []
    else:
        assert [*tasks.faults(activity, None)] == []
        wanted = properties.read(tasks.as_fetched(activity), activity)
        assert (wanted.assistant, wanted.inputs, wanted.output) == ("analyst", None, "t")


@EACH
def test_whatever_is_chosen_in_one_field_is_allowed(kind: Kind) -> None:
    for name, each in fields(template(kind, None)).items():
        for choice in each.get("choices", ()):
            said = {"service_name": "analyst", name.replace(".", "_"): choice["value"]}
            if kind.needed and "data.questions" in kind.needed:
                said["data_questions"] = "gate.json"
            if name == "record.part" and choice["value"]:
                said.pop("data_output_type", None)
            definition = definitions.read("p:1:1", applied(template(kind, None), **said))
            [activity] = definition.activities.values()
            read = properties.read_record if activity.is_record else properties.read
            assert read(tasks.as_fetched(activity), activity)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / ".camunda" / "element-templates"


def test_the_command_writes_a_file_for_each_kind_and_check_agrees(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["templates", str(folder)]) == 0
    assert sorted(each.name for each in folder.iterdir()) == sorted(texts(None))
    told = capsys.readouterr().out
    assert [each for each in texts(None) if each not in told] == []
    assert cli.main(["templates", str(folder), "--check"]) == 0


@pytest.mark.parametrize("change", ["missing", "changed", "of other assistants"])
def test_check_tells_what_is_not_as_it_would_be_written(
    change: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "assistants").mkdir()
    (tmp_path / "assistants" / "analyst.md").write_text(ANALYST)
    cli.main(["templates", str(folder)])
    file = folder / "assistant-worker-task.json"
    before = file.read_text()
    if change == "missing":
        file.unlink()
    elif change == "changed":
        file.write_text(before.replace("Topic", "Subject"))
    more = ["--assistants", "assistants"] if change == "of other assistants" else []
    capsys.readouterr()

    assert cli.main(["templates", str(folder), "--check", *more]) == 1
    assert "assistant-worker-task.json" in capsys.readouterr().out
    assert file.exists() == (change != "missing")


def test_what_else_is_in_the_folder_and_ends_of_lines_make_no_difference(folder: Path) -> None:
    cli.main(["templates", str(folder)])
    (folder / "own.json").write_text("{}")
    for each in texts(None):
        (folder / each).write_bytes((folder / each).read_bytes().replace(b"\n", b"\r\n"))
    assert cli.main(["templates", str(folder), "--check"]) == 0


def test_a_folder_that_cannot_be_written_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert cli.main(["templates", str(tmp_path / "file")]) == 2
    assert "cannot be written" in capsys.readouterr().err
