"""Every command that a page names is one, with the arguments that it has there."""

import re
import shlex
from pathlib import Path

import pytest

from worker.cli import command_line

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "bpmn/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "deploy").rglob("*.md")),
    *sorted((ROOT / "worker" / "operate").rglob("*.md")),
]


def commands(page: Path) -> list[str]:
    """What stands after `assistant-worker` in code, on lines of its own and within sentences."""
    text = page.read_text("utf-8")
    inline = re.findall(r"`assistant-worker ([^`\n]+(?:\n[^`\n]+)?)`", text)
    fenced = [line for block in re.findall(r"```\w*\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    own = [
        line.partition("assistant-worker ")[2] for line in fenced if re.match(r" *\$? *assistant-worker [a-z]", line)
    ]
    return [" ".join(each.split()) for each in [*inline, *own]]


SAID = [
    pytest.param(each, id=f"{page.relative_to(ROOT)}: {each[:60]}")
    for page in PAGES
    for each in dict.fromkeys(commands(page))
    if not each.startswith("COMMAND")  # which stands for any
]


@pytest.mark.parametrize("said", SAID)
def test_a_command_on_a_page_is_one(said: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(re.split(r" [>|;&] ?| \\", said)[0], comments=True)
    words = [each.strip("[]") for each in words if each not in {"…", "..."}]
    code: object = 0
    try:
        command_line().parse_args([each.replace("…", "") for each in words])
    except SystemExit as end:
        code = end.code
    complaint = capsys.readouterr().err
    # A sentence may name a command without what it needs.
    assert code == 0 or "the following arguments are required" in complaint, complaint


def test_pages_name_commands() -> None:
    assert len(SAID) > 80, "they are still found"
