"""The variable that comes with what is handed over: written, read back, and shown to no task."""

from dataclasses import replace

import pytest

from tests.asks import ADA
from tests.samples import TASK
from worker.domain.handovers import LONGEST_MARKER, Marker, marker_name, read_marker, text_hash
from worker.domain.tasks import Activity, Variable
from worker.modelling import inputs

NAME = marker_name("0a" * 16)
MARKER = Marker(ADA, "note", text_hash("Yes."))


def test_a_marker_is_read_as_it_was_written() -> None:
    assert read_marker(NAME, MARKER.text) == MARKER
    assert MARKER.is_of(replace(MARKER, person=replace(ADA, name="Ada Other")))
    assert not MARKER.is_of(replace(MARKER, person=replace(ADA, subject="other")))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("handover_note", MARKER.text),
        (f"{NAME}0", MARKER.text),
        (NAME, None),
        (NAME, 7),
        (NAME, ""),
        (NAME, "{"),
        (NAME, "[]"),
        (NAME, "[" * 1000),
        (NAME, '{"person": "Ada"}'),
        (NAME, MARKER.text.replace('"ada"', "7")),
        (NAME, " " * LONGEST_MARKER + MARKER.text),
    ],
)
def test_what_others_wrote_is_no_marker(name: str, value: object) -> None:
    assert read_marker(name, value) is None


def test_no_task_is_shown_a_marker_by_itself() -> None:
    variables = {
        NAME: Variable(MARKER.text, "String"),
        "note": Variable("Yes.", "String"),
        "handover_date": Variable("Monday", "String"),
    }
    shown = inputs.readable(replace(TASK, variables=variables), Activity("frame", "Frame", "topic"), None)
    assert shown.keys() == {"note", "handover_date"}
