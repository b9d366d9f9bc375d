"""What zsh and fish make of the scripts of `assistant-worker completion`, loaded as the command's help says."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.unit.test_completion import CASES
from worker import cli
from worker.demo.samples import ROOT
from worker.operate.parser import EXAMPLE

SIZE = struct.pack("HHHH", 50, 200, 0, 0)
"""Rows and columns."""
SECONDS = 30
"""How long a shell may take to say something; the first time it asks `assistant-worker` for the script."""
CODES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-_=>])|[\r\b\x07]")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the shells are: with the command in `bin`, a file and a folder to be completed."""
    command = tmp_path / "bin" / "assistant-worker"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m worker "$@"\n')
    command.chmod(0o755)
    (tmp_path / "completion.bash").write_text("")
    (tmp_path / "below").mkdir()
    return tmp_path


def environment(folder: Path) -> dict[str, str]:
    """A home without start-up files; `assistant-worker` is the one of this checkout."""
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(folder), "PYTHONPATH": str(ROOT), "TERM": "xterm", "LANG": "C.UTF-8"}


def loading(shell: str) -> str:
    """The line of the help that loads the script."""
    [line] = [each for each in cli.EVALUATE.splitlines() if f"completion {shell}" in each]
    return line.removeprefix(EXAMPLE).strip()


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_shell_finds_no_mistake_in_its_script(shell: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["completion", shell])
    (folder / "script").write_text(capsys.readouterr().out)

    done = subprocess.run([shell, "-n", folder / "script"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(("line", "proposed"), CASES)
def test_fish_completes_commands_options_choices_and_paths(folder: Path, line: str, proposed: set[str]) -> None:
    program = f"{loading('fish')}; complete --do-complete='{line}'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", program],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert proposed <= {each.partition("\t")[0].rstrip("/") for each in done.stdout.splitlines()}


@pytest.mark.parametrize(("line", "proposed"), CASES)
def test_zsh_completes_commands_options_choices_and_paths(folder: Path, line: str, proposed: set[str]) -> None:
    with terminal(["zsh", "-f", "-i"], environment(folder) | {"PS1": "ready> "}, folder) as zsh:
        zsh.until("ready> ")
        zsh.type(f"{loading('zsh')}; PS1=$((40 + 2))'> '\n")
        assert "not found" not in zsh.until("42> ")
        zsh.type(f"{line}\t\t")
        zsh.until(*proposed)


class Terminal:
    """A program at a terminal of its own."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._descriptor, text.encode())

    def until(self, *words: str) -> str:
        """Return what is shown from now on, when all of that is there. AssertionError: it is not."""
        shown, deadline = "", time.monotonic() + SECONDS
        while not all(word in shown for word in words):
            ready, _, _ = select.select([self._descriptor], [], [], deadline - time.monotonic())
            assert ready, f"{words} is not shown, but: {shown!r}"
            shown = CODES.sub("", shown + os.read(self._descriptor, 65536).decode(errors="replace"))
        return shown


@contextmanager
def terminal(command: list[str], env: Mapping[str, str], folder: Path) -> Iterator[Terminal]:
    """Run it, and end it behind the block."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, SIZE)  # so that no line is broken
    with subprocess.Popen(
        command, cwd=folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as program:
        os.close(theirs)
        try:
            yield Terminal(ours)
        finally:
            program.kill()
            with suppress(OSError):
                os.close(ours)
