"""What the command line says of itself, and of what it does not understand."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker import cli
from worker.operate.parser import EXAMPLE
from worker.runtime.version import VERSION


def parsers(parser: argparse.ArgumentParser, *words: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command with its words, the command line itself included."""
    yield " ".join(words), parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, each in action.choices.items():
                yield from parsers(each, *words, name)


COMMANDS = dict(parsers(cli.command_line()))
EACH = pytest.mark.parametrize("words", COMMANDS)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The complaint about arguments."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_it_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])

    assert (ended.value.code, capsys.readouterr().out) == (0, f"assistant-worker {VERSION}\n")


def test_without_a_command_it_says_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert capsys.readouterr().err == cli.command_line().format_help()


@EACH
def test_every_command_and_all_that_it_takes_are_explained(words: str) -> None:
    parser = COMMANDS[words]

    assert parser.description
    for action in parser._actions:
        for each in action._get_subactions() if isinstance(action, argparse._SubParsersAction) else [action]:
            assert each.help, each


@EACH
@pytest.mark.parametrize("columns", [40, 60, 80])
def test_its_help_fits_into_a_terminal_but_for_examples_that_are_longer(
    words: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))

    _usage, _, told = COMMANDS[words].format_help().partition("\n\n")

    assert [line for line in told.splitlines() if len(line) > columns and not line.startswith(EXAMPLE)] == []


def test_the_demo_s_help_names_every_process_that_there_is() -> None:
    keys = {path.name for path in (Path(__file__).parents[2] / "bpmn").iterdir() if path.is_dir()} - {"assistants"}

    assert f"Keys: {', '.join(sorted(keys))}." in cli.PROCESSES


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ("dcotor", "doctor by dcotor"),
        ("--verison", "--version by --verison"),
        ("threads exprot 1", "export by exprot"),
        ("demo --onse", "--once by --onse"),
        ("demo --modle=local", "--model by --modle"),
        ("demo --model lokal", "local by lokal"),
        ("threads erase --busines-kye order-7", "--business-key by --busines-kye"),
        ("threads export --fromat", "--format by --fromat"),  # beside what else is wrong
        ("stop asistant analyst", "assistant by asistant"),
    ],
)
def test_what_is_misspelt_is_answered_with_the_nearest(
    arguments: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"did you mean {meant}?" in refused(capsys, *arguments.split())


@pytest.mark.parametrize(
    "arguments", ["fly", "--fly", "demo --zzz", "stop analyst -- --nwo", "doctor now", "threads export --form json"]
)
def test_nothing_is_proposed_where_nothing_is_near_or_nothing_misspelt(
    arguments: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "did you mean" not in refused(capsys, *arguments.split())


def test_a_command_s_complaint_comes_with_its_own_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, "threads", "list", "--endet").startswith("usage: assistant-worker threads list")
