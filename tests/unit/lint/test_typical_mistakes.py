"""The typical mistakes, named before anything is deployed: as text, as JSON, and by the exit code."""

import json
import re
from pathlib import Path

import pytest

from tests.typical import ANALYST, FILES, MODEL, TYPICAL, Mistake, NothingToStart, Silent, Waits
from worker import cli
from worker.operate.lint import plugin
from worker.operate.models.rules import BEYOND

GUIDE = (Path(__file__).parents[3] / "docs" / "linting.md").read_text("utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for a model, beside that of the assistants."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSISTANTS_DIR", "assistants")
    for name in ("offers", "assistants"):
        (tmp_path / name).mkdir()
    (tmp_path / "assistants" / "analyst.md").write_text(ANALYST)
    return tmp_path / "offers"


def lint(capsys: pytest.CaptureFixture[str], form: str) -> tuple[int, str]:
    code = cli.main(["lint", "offers", "--format", form])
    return code, capsys.readouterr().out


def test_without_a_mistake_nothing_is_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in FILES.items():
        (folder / name).write_text(text)
    code, text = lint(capsys, "text")
    assert (code, "1 model: nothing found." in text) == (0, True)


@pytest.mark.parametrize("name", TYPICAL)
def test_it_is_named_at_its_line_and_element(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mistake = TYPICAL[name]
    mistake.write(folder)
    code, said = lint(capsys, "json")
    [finding] = [each for each in json.loads(said)["findings"] if each["level"] != "note"]
    assert (code, finding["rule"], finding["element"]) == (1, mistake.rule.id, mistake.element)
    line = (folder / MODEL).read_text(mistake.encoding).split("\n")[finding["line"] - 1]
    assert mistake.line in line

    code, said = lint(capsys, "text")
    place = f"offers/{MODEL}:{finding['line']}: {mistake.rule.level} {mistake.rule.id}: "
    [shown] = [each for each in said.splitlines() if each.startswith(place)]
    assert (code, mistake.element in shown, finding["said"] in shown) == (1, True, True)
    assert f"    To do: {finding['advice']}" in said.splitlines()


def test_the_guide_lists_what_becomes_of_each_and_who_sees_it() -> None:
    untold = [name for name, each in TYPICAL.items() if isinstance(each.on_engine, Silent | Waits | NothingToStart)]
    assert (len(TYPICAL), len(untold)) == (23, 11), "as the guide says in words"
    section = GUIDE.partition("## Twenty-three typical mistakes")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| `([a-z0-9-]+)` \| (.+?) \| (.+) \|$", section, re.MULTILINE)
    assert rows == [(name, each.rule.id, each.effect, in_modeler(each)) for name, each in TYPICAL.items()]


def in_modeler(mistake: Mistake) -> str:
    return plugin.in_modeler(mistake.rule) if mistake.rule in BEYOND else "yes"
