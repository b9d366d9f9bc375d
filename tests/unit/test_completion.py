"""The scripts of `assistant-worker completion`."""

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.unit.test_cli import COMMANDS
from worker import cli

CASES = [
    ("assistant-worker do", {"doctor"}),
    ("assistant-worker threads e", {"export", "erase"}),
    ("assistant-worker demo --o", {"--once"}),
    ("assistant-worker demo --model ", {"scripted", "local"}),
    ("assistant-worker completion ", {"bash", "zsh", "fish"}),
    ("assistant-worker threads export --output comp", {"completion.bash"}),
    ("assistant-worker init be", {"below"}),
]
"""What is to be proposed at the end of a line, in a folder that has these; `make completions` asks zsh and fish."""


@pytest.fixture(params=cli.SHELLS)
def script(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["completion", request.param]) == 0
    return capsys.readouterr().out


def test_every_command_and_option_is_in_it(script: str) -> None:
    options = {each for parser in COMMANDS.values() for each in parser._option_string_actions}
    names = {word for words in COMMANDS for word in words.split()} | {each.lstrip("-") for each in options}

    assert {name for name in names if name not in script} == set()


def completed(folder: Path, line: str) -> set[str]:
    """What bash proposes at the end of a line."""
    script = folder / "completion.bash"
    done = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    words = line.split(" ")
    program = f"""
        source {shlex.quote(str(script))}
        COMP_WORDS=({shlex.join(words)}) COMP_CWORD={len(words) - 1}
        function=$(complete -p assistant-worker | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        "$function" assistant-worker {shlex.quote(words[-1])} {shlex.quote(words[-2])}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", program], cwd=folder, capture_output=True, text=True, check=True)
    return {each.strip() for each in done.stdout.splitlines()}


@pytest.mark.parametrize(("line", "proposed"), CASES)
def test_bash_completes_commands_options_choices_and_paths(
    tmp_path: Path, line: str, proposed: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["completion", "bash"])
    (tmp_path / "completion.bash").write_text(capsys.readouterr().out)
    (tmp_path / "below").mkdir()

    assert proposed <= completed(tmp_path, line)
