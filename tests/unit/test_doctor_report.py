"""How doctor says what it found: to people with wide and narrow terminals, and to programs."""

import io
import json

import pytest
from rich.console import Console

from worker.operate.doctor import report
from worker.operate.doctor.checks import Finding, Level

ROWS = [
    Finding(
        "deployed models",
        "decision version 3 of tenant acme, task frame",
        Level.PROBLEM,
        "nothing to ask: neither documentation nor an input parameter prompt\x1b[31m",
        "Correct the model and deploy it.",
    ),
    Finding("Redis", "eviction", Level.UNKNOWN, "Redis does not say its maxmemory-policy"),
]


def shown(width: int) -> list[str]:
    """The lines of the report on a screen of this width."""
    screen = Console(file=io.StringIO(), width=width)
    report.show(ROWS, screen)
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [30, 60, 99])
def test_on_a_narrow_screen_a_finding_has_its_whole_width_and_no_word_is_broken(width: int) -> None:
    lines = shown(width)

    assert max(map(len, lines)) <= width
    for each in ROWS:
        for words in (each.area, each.subject, each.level, each.said.partition("\x1b")[0], each.advice):
            assert words in " ".join(" ".join(lines).split())
    assert len(lines) < 24


def test_on_a_wide_screen_it_is_a_table() -> None:
    assert "Finding, and what to do" in "\n".join(shown(100))


def test_to_programs_a_finding_is_five_texts_and_its_level_one_of_four_words() -> None:
    told = json.loads(report.as_json(ROWS))

    assert told == [
        {
            "level": "problem",
            "area": "deployed models",
            "subject": "decision version 3 of tenant acme, task frame",
            "said": "nothing to ask: neither documentation nor an input parameter prompt\x1b[31m",
            "advice": "Correct the model and deploy it.",
        },
        {
            "level": "unknown",
            "area": "Redis",
            "subject": "eviction",
            "said": "Redis does not say its maxmemory-policy",
            "advice": "",
        },
    ]
    assert [each.name.lower() for each in Level] == ["ok", "unknown", "warning", "problem"]
