"""`assistant-worker lint` as people and programs meet it: what it prints, and how it ends."""

import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.unit.lint.sound import ANALYST, FILES
from worker import cli
from worker.operate.lint import plugin
from worker.operate.models.rules import OF_PROVIDERS, Rule

GUIDE = (Path(__file__).parents[3] / "docs" / "linting.md").read_text("utf-8")
SCHEMA = (Path(__file__).parent / "sarif" / "sarif-schema-2.1.0.json").read_bytes()
SARIF = jsonschema.Draft4Validator(json.loads(SCHEMA), format_checker=jsonschema.Draft4Validator.FORMAT_CHECKER)
"""The schema that OASIS publishes with the standard."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sound models in a folder below the working directory, with a space in its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSISTANTS_DIR", "assistants")
    for name in ("my models", "assistants"):
        (tmp_path / name).mkdir()
    (tmp_path / "assistants" / "analyst.md").write_text(ANALYST)
    for name, text in FILES.items():
        (tmp_path / "my models" / name).write_text(text)
    return tmp_path / "my models"


def broken(folder: Path, before: str, after: str) -> None:
    model = folder / "offers.bpmn"
    model.write_text(model.read_text().replace(before, after))


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = cli.main(["lint", "my models", *arguments])
    return code, capsys.readouterr().out


def test_sound_models_end_with_0(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert folder.is_dir()
    assert printed(capsys) == (0, "The assistants are those of assistants.\n2 models: nothing found.\n")


@pytest.mark.parametrize(
    ("before", "after", "codes"),
    [
        (' camunda:formRef="offer"', "", {"note": 1, "warning": 0, "error": 0}),
        ("PT2M", "PT30S", {"note": 1, "warning": 1, "error": 0}),
        ("PT1M", "soon", {"note": 1, "warning": 1, "error": 1}),
    ],
    ids=["note", "warning", "error"],
)
def test_from_which_level_on_it_ends_with_1_is_to_be_said(
    before: str, after: str, codes: dict[str, int], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken(folder, before, after)
    assert {level: printed(capsys, "--level", level)[0] for level in codes} == codes
    assert printed(capsys)[0] == codes["warning"]


def test_a_finding_says_where_what_and_what_to_do(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken(folder, "offer, budget?", "ofer, budget?")
    code, text = printed(capsys)
    first, second, *_ = text.splitlines()
    line = (folder / "offers.bpmn").read_text().split("ofer, budget?")[0].count("\n") + 1
    assert code == 1
    assert first == (
        f'my models/offers.bpmn:{line}: warning unset-input: review "Step review": nothing that comes before it sets '
        "its input ofer: an incident when it is reached"
    )
    assert second.startswith("    To do: Correct the name; did you mean offer?")


def test_texts_of_a_model_do_nothing_to_a_terminal_and_make_no_lines(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken(folder, "PT1M", "&#10;&#x9b;31m/etc:1: error fake: x")
    assert "\x9b" not in printed(capsys)[1]
    assert [line for line in printed(capsys)[1].splitlines() if line.startswith("/etc")] == []


def test_json_has_all_of_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken(folder, "PT1M", "soon")
    (folder / "broken.bpmn").write_text("<a>")
    code, text = printed(capsys, "--format", "json")
    said = json.loads(text)
    assert code == 2
    [finding] = [each for each in said["findings"] if each["level"] == "error"]
    assert finding.keys() == {"rule", "level", "file", "line", "element", "name", "said", "advice"}
    assert (finding["rule"], finding["file"], finding["element"]) == ("wrong-value", "my models/offers.bpmn", "review")
    assert [(each["file"], each["line"]) for each in said["unread"]] == [("my models/broken.bpmn", 1)]
    assert said["files"] == ["my models/negotiation.bpmn", "my models/offers.bpmn"]


def sarif(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    log: dict[str, Any] = json.loads(printed(capsys, "--format", "sarif")[1])
    SARIF.validate(log)
    [run] = log["runs"]
    found: dict[str, Any] = run
    return found


def test_the_schema_of_sarif_is_the_published_one_and_refuses_what_it_does_not_know() -> None:
    notice = (Path(__file__).parent / "sarif" / "NOTICE.md").read_text("utf-8")
    assert sha256(SCHEMA).hexdigest() in notice
    runs = [{"tool": {"driver": {"name": "x"}}, "results": [{"message": {"text": "x"}, "level": "grave"}]}]
    [error] = SARIF.iter_errors({"version": "2.1.0", "runs": runs})
    assert list(error.path) == ["runs", 0, "results", 0, "level"]


def test_sarif_is_what_the_standard_says_and_points_to_rule_line_and_element(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken(folder, "PT1M", "soon")
    run = sarif(capsys)
    [result] = [each for each in run["results"] if each["level"] == "error"]
    [location] = result["locations"]
    rules = run["tool"]["driver"]["rules"]
    line = (folder / "offers.bpmn").read_text().split('"soon"')[0].count("\n") + 1

    assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == "wrong-value"
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "my%20models/offers.bpmn"},
        "region": {"startLine": line},
    }
    assert location["logicalLocations"] == [{"name": "review", "kind": "element"}]
    assert run["invocations"] == [{"executionSuccessful": True}]
    assert [each["id"] for each in rules] == [each.id for each in Rule if each not in OF_PROVIDERS]


def test_sarif_says_which_file_could_not_be_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "broken.bpmn").write_text("<a>\n")
    run = sarif(capsys)
    [invocation] = run["invocations"]
    [notification] = invocation["toolExecutionNotifications"]
    assert (invocation["executionSuccessful"], run["results"]) == (False, [])
    assert notification["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "my%20models/broken.bpmn"


def test_a_file_outside_of_the_working_directory_has_an_address_of_its_own(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken(folder, "PT1M", "soon")
    monkeypatch.chdir(tmp_path / "assistants")
    cli.main(["lint", str(folder), "--format", "sarif"])
    log = json.loads(capsys.readouterr().out)
    SARIF.validate(log)
    place = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == (folder / "offers.bpmn").as_uri()


def test_assistants_of_another_folder_may_be_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = folder / "others"
    other.mkdir()
    (other / "analysts.md").write_text(ANALYST.replace("analyst", "analysts"))
    code, text = printed(capsys, "--assistants", str(other))
    assert (code, "did you mean 'analysts'" in text) == (1, True)


def test_without_a_folder_of_assistants_that_is_said_and_the_rest_is_looked_at(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSISTANTS_DIR", "absent")
    monkeypatch.setenv("ENGINE_URL", "no address")  # another setting is none of its business
    broken(folder, '"analyst"', '"nobody"')
    code, text = printed(capsys)
    assert (code, "Which assistants there are is not known: absent is no folder" in text) == (0, True)


def test_a_folder_is_looked_at_as_deploy_would_and_a_file_by_what_lies_beside_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (inside := folder / "parts").mkdir()
    for name in ("offers.bpmn", "gaps.schema.json", "gate.json", "offer.form"):
        (folder / name).rename(inside / name)
    file = "my models/parts/offers.bpmn"

    def missing(*arguments: str) -> list[str]:
        cli.main(["lint", *arguments, "--format", "json"])
        said = json.loads(capsys.readouterr().out)["findings"]
        return sorted(re.findall(r"'(.+?)'", each["said"])[0] for each in said if each["rule"] == "missing-file")

    assert missing("my models") == ["gaps.schema.json", "gate.json"]
    assert missing(file) == ["traveller.md"]
    assert missing(file, "--folder", "my models") == ["gaps.schema.json", "gate.json"]
    broken(inside, '"gaps.schema.json"', '"parts/gaps.schema.json"')
    broken(inside, '"gate.json"', '"parts/gate.json"')
    assert missing("my models") == missing(file, "--folder", "my models") == []
    assert cli.main(["lint", file, "--folder", "absent"]) == 2


@pytest.mark.parametrize("arguments", [["absent.bpmn"], ["assistants"], ["my models", "--assistants", "absent"]])
def test_what_cannot_be_read_ends_with_2(
    arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert folder.is_dir()
    assert cli.main(["lint", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out + said.err


def test_the_guide_lists_every_rule_as_it_is() -> None:
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (\w+) \| (.+?) \| (.+) \|$", GUIDE, re.MULTILINE)
    assert rows == [(each.id, each.level.value, each.about, plugin.in_modeler(each)) for each in Rule]
