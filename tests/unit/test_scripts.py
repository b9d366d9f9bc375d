"""What every Lua script has to keep to, so that it runs on a cluster and may be repeated."""

import re
from pathlib import Path

import pytest

SCRIPTS = sorted(Path(__file__).parents[2].glob("worker/**/scripts/*.lua"))
KEYLESS = {"TIME"}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_touches_only_keys_that_it_was_handed(path: Path) -> None:
    calls = re.findall(r"redis\.call\(\s*'(\w+)'\s*(?:,\s*([^,)]+(?:\[[^\]]*\])?))?", path.read_text())

    assert calls
    for command, key in calls:
        assert command in KEYLESS or re.fullmatch(r"KEYS\[\w+\]", key.strip()), f"{command} {key}"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_the_head_of_a_script_says_what_it_takes_returns_and_does_when_repeated(path: Path) -> None:
    head = [line for line in path.read_text().splitlines() if line.startswith("--")]

    for word in ("KEYS", "ARGV", "returns", "repeat"):
        assert any(line.startswith(f"-- {word}") for line in head), word
