"""deploy/systemd: what the unit tells a worker is what it knows, and it waits for its end."""

import re
import subprocess
from pathlib import Path
from typing import Final

from tests.deployed import FILE, MARGIN_SECONDS, unknown
from worker.settings import Settings

ROOT: Final = Path(__file__).parents[2]
UNIT: Final = (ROOT / "deploy" / "systemd" / "assistant-worker.service").read_text("utf-8")


def test_a_service_is_given_more_time_to_stop_than_its_worker_takes() -> None:
    [seconds] = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)
    assert int(seconds) >= Settings.model_fields["grace_seconds"].default + MARGIN_SECONDS


def test_systemd_sets_what_the_worker_knows() -> None:
    lines = re.findall(r"^Environment=(.+)$", UNIT, re.MULTILINE)
    told = dict(word.split("=", 1) for line in lines for word in line.split())
    credentials = re.findall(r"^LoadCredential=(\w+):", UNIT, re.MULTILINE)

    assert unknown(told) == []
    assert [text for name, text in told.items() if name.endswith(FILE)] == [f"%d/{name}" for name in credentials]


def test_the_guide_runs_commands_with_what_the_unit_tells_the_worker(tmp_path: Path) -> None:
    """The function of docs/install.md, with a program in the worker's place that says what it is told."""
    guide = (ROOT / "docs" / "install.md").read_text("utf-8")
    [function] = re.findall(r"^worker\(\) \(\n.+?^\)$", guide, re.MULTILINE | re.DOTALL)
    program = tmp_path / "opt" / "assistant-worker" / "bin" / "assistant-worker"
    settings = tmp_path / "etc" / "assistant-worker" / "settings.env"
    state = tmp_path / "var" / "lib" / "assistant-worker"
    for folder in (program.parent, settings.parent, state):
        folder.mkdir(parents=True)
    program.write_text('#!/bin/sh\npwd; printf "%s\\n" "$@"; env\n')
    program.chmod(0o755)
    settings.write_text('ENGINE_URL=http://engine/rest\nHANDLERS="a=b:c, d=e:f"\n')
    script = re.sub(r"(?<=[ =])/(?=(etc|var|opt)/)", f"{tmp_path}/", f"{function}\nworker doctor --json")

    said = subprocess.run(["sh", "-euc", script], capture_output=True, text=True, check=True).stdout.splitlines()

    assert said[:3] == [str(state), "doctor", "--json"]
    assert {"ENGINE_URL=http://engine/rest", "HANDLERS=a=b:c, d=e:f"} <= set(said)
    names = {
        name for line in re.findall(r"^Environment=(.+)$", UNIT, re.MULTILINE) for name in re.findall(r"(\w+)=", line)
    }
    told = dict(line.split("=", 1) for line in said[3:] if "=" in line)
    assert names <= told.keys()
    assert told["OPENAI_API_KEY_FILE"] == f"{tmp_path}/etc/assistant-worker/secrets/openai_api_key"
