"""What every Lua script has to keep to, so that it runs on a cluster."""

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
