"""`assistant-worker lint --plugin`: what is written. What it finds is for `tests/contract/test_bpmnlint.py`."""

import json
from pathlib import Path

import pytest

from worker import cli
from worker.operate.lint import plugin
from worker.operate.models.rules import BEYOND, Rule


def test_a_folder_is_written_with_a_file_for_each_rule_and_a_guide(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["lint", "--plugin", str(tmp_path / "plugins")]) == 0
    place = tmp_path / "plugins" / "bpmnlint-plugin-assistant-worker"
    assert str(place) in capsys.readouterr().out
    assert json.loads((place / "package.json").read_text())["name"] == place.name
    assert {each.stem for each in (place / "rules").iterdir()} == {each.id for each in Rule if each not in BEYOND}
    guide = (place / "README.md").read_text()
    assert [each for each in Rule if f"| `{each.id}` | {each.level} | {each.about} |" not in guide] == []
    assert cli.main(["lint", "--plugin", str(tmp_path / "plugins")]) == 0  # in the place of an earlier one


def test_the_tables_are_in_it_as_json() -> None:
    text = plugin.files()["client.js"]
    inside = text.partition("})(")[2].partition(");\n\nif")[0]
    assert json.loads(inside) == json.loads(json.dumps(plugin.table()))


@pytest.mark.parametrize("arguments", [[], ["offers.bpmn", "--plugin", "plugins"]], ids=["nothing", "both"])
def test_either_models_or_the_plugin_are_wanted(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["lint", *arguments]) == 2
    assert "either FILE" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert cli.main(["lint", "--plugin", str(tmp_path / "file")]) == 2
    assert "cannot be written" in capsys.readouterr().err
