"""The commands of `docs/backup.md`, run as they stand there."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

PAGE: Final = (Path(__file__).parents[1] / "docs" / "backup.md").read_text("utf-8")


def commands(section: Literal["Back up", "Restore"], file: str) -> str:
    """The one paragraph of commands in a section that names this copy, such as `engine.dump`."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```sh\n(.+?)```", text, re.DOTALL)
    [found] = [part for block in blocks for part in block.split("\n\n") if file in part]
    return str(found)


def run(text: str, here: Mapping[str, str], folder: Path, environment: Mapping[str, str]) -> None:
    """Run commands in a folder, with what stands `here` for their words. AssertionError: one of them fails."""
    words = re.compile("|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in here))
    script = words.sub(lambda found: here[found[0]], text)
    done = subprocess.run(
        ["bash", "-euc", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
