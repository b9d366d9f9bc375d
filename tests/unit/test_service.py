"""deploy/systemd: what the unit tells a worker is what it knows, and it waits for its end."""

import re
from pathlib import Path
from typing import Final

from tests.deployed import FILE, MARGIN_SECONDS, unknown
from worker.settings import Settings

UNIT: Final = (Path(__file__).parents[2] / "deploy" / "systemd" / "assistant-worker.service").read_text("utf-8")


def test_a_service_is_given_more_time_to_stop_than_its_worker_takes() -> None:
    [seconds] = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)
    assert int(seconds) >= Settings.model_fields["grace_seconds"].default + MARGIN_SECONDS


def test_systemd_sets_what_the_worker_knows() -> None:
    lines = re.findall(r"^Environment=(.+)$", UNIT, re.MULTILINE)
    told = dict(word.split("=", 1) for line in lines for word in line.split())
    credentials = re.findall(r"^LoadCredential=(\w+):", UNIT, re.MULTILINE)

    assert unknown(told) == []
    assert [text for name, text in told.items() if name.endswith(FILE)] == [f"%d/{name}" for name in credentials]
