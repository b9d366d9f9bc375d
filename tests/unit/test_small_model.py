"""The small model of the demo: how it is installed, and what assistants are told where it answers."""

import io
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from worker.cli import command_line
from worker.demo import samples, small_model, stage
from worker.demo.rest import Failed
from worker.demo.screen import Screen
from worker.demo.small_model import CONTEXT_TOKENS, SmallModel
from worker.specs import assistants, providers

BPMN = samples.BPMN / "assistants"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSISTANT_WORKER_CACHE", str(tmp_path))
    return tmp_path


def test_every_assistant_of_the_demo_asks_the_small_model_and_is_otherwise_as_it_was(tmp_path: Path) -> None:
    served = SmallModel()
    try:
        settings = stage._for_small_model(served, BPMN, tmp_path)
    finally:
        served.close()
    known = providers.load(Path(settings["PROVIDERS_FILE"]), {})
    copies = assistants.load(Path(settings["ASSISTANTS_DIR"]), known).assistants
    [local] = known.values()

    assert (local.api, local.base_url, local.context_tokens) == ("chat", served.base_url, CONTEXT_TOKENS)
    assert {(each.provider, each.model) for each in copies} == {("local", "smollm2")}
    assert all(each.output_schema for each in copies), "it is held to an end"
    kept = {"name", "version", "instructions", "temperature"}
    before = assistants.load(BPMN).assistants
    assert [[getattr(each, name) for name in sorted(kept)] for each in copies] == [
        [getattr(each, name) for name in sorted(kept)] for each in before
    ]


def test_what_cannot_be_installed_leaves_nothing_and_says_why(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pins = cache / "pins.txt"
    pins.write_text(f"./nothing-1.0-py3-none-any.whl --hash=sha256:{64 * '0'}\n")
    monkeypatch.setattr(small_model, "PINS", pins)

    with pytest.raises(Failed, match=r"cannot be installed: .*nothing-1\.0"):
        small_model.install()
    assert list(cache.iterdir()) == [pins]


def test_what_is_there_is_not_installed_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_model.folder().mkdir(parents=True)
    monkeypatch.setattr(subprocess, "run", None)

    assert small_model.install().parent == cache


def test_other_pins_have_a_place_of_their_own(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = small_model.folder()
    monkeypatch.setattr(small_model, "PINS", cache / "pins.txt")
    (cache / "pins.txt").write_text("xllamacpp==1\n")

    assert small_model.folder() != before


def test_the_script_answers_unless_the_small_model_is_asked_for() -> None:
    assert command_line().parse_args(["demo"]).model == "scripted"
    assert command_line().parse_args(["demo", "--model", "local"]).model == "local"


def test_the_screen_says_that_such_a_model_cannot_reason() -> None:
    paper = io.StringIO()
    Screen(Console(file=paper)).local_title()

    assert "cannot reason" in paper.getvalue()
