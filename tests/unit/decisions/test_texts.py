"""Figures in words."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.decisions.examples import parts
from worker.decisions import texts
from worker.decisions.schemas import PARTS, SCHEMA
from worker.decisions.texts import NAMES, Filled

COMPUTED = {
    "sums": {"X": 0.59, "Y": 0.6400000001},
    "leader": "Y",
    "mismatches": 0,
    "over_weights": {"X": [0.18367, 0.8]},
    "is_uncertain": True,
    "tornado": [{"of": "X", "low": -0.0004, "high": 0.2}],
}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("Y has {sums.Y} points.", "Y has 0.64 points."),
        ("{leader} leads: {mismatches} mismatches.", "Y leads: 0 mismatches."),
        ("First in {over_weights.X.1:%} of all weights, in {over_weights.X.2:%} second", None),
        ("{} {not this} {sums.Y", "{} {not this} {sums.Y"),
        ("A lead of {tornado.1.low}, {tornado.1.low:%}", "A lead of 0, 0 %"),
    ],
)
def test_figures_are_written_by_code(text: str, filled: str | None) -> None:
    expected = filled or "First in 18.4 % of all weights, in 80 % second"
    assert texts.fill(text, COMPUTED) == Filled(expected, ())


@pytest.mark.parametrize(
    "place", ["{sums.Q}", "{sums}", "{over_weights.X.0}", "{over_weights.X.3}", "{leader:%}", "{is_uncertain}", "{a.b}"]
)
def test_a_figure_that_there_is_not_stays_and_is_told(place: str) -> None:
    assert texts.fill(f"It has {place}.", COMPUTED) == Filled(f"It has {place}.", (place,))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It has 82.06 points, not {sums.Y}.", ["82.06"]),
        ("It costs 60, which is 60 % of 8,500 or 8.500 or 8 500 or 8'500.", []),
        ("It costs 8.5, and 8.50.", ["8.5", "8.50"]),
        ("1. First\n2) Second", []),
        ("CO2 from Q3 in v1.2", []),
        ("from 2030-2035, or \u22124 to +7", ["2030", "2035", "\u22124", "+7"]),
        ("a share of 30 %, of 30", ["30"]),
        ("0.60 and 0,3", ["0.60"]),
        ("0.060 or 0,060", ["0.060", "0,060"]),
        ("1.234.567,89 or 1,234,567.89", []),
        ("10k, \u0663", ["10", "\u0663"]),
        ("five of them", []),
    ],
)
def test_numerals_that_are_no_input_are_found(text: str, found: list[str]) -> None:
    assert texts.unbound(text, frozenset({60.0, 8500.0, 0.3, 1234567.89})) == found


def test_numbers_of_inputs_are_those_of_fields_and_of_texts() -> None:
    known = texts.numbers({"base": 8.5, "hard": True, "why": "From 2031 on", "evidence": ["1,200 t"], "id": "A7"})
    assert known == {8.5, 2031, 1200, 1.2}


def test_every_string_of_a_part_is_a_name_or_somebodys_words() -> None:
    for name in PARTS:
        for field, schema in _fields(SCHEMA["$defs"][name]):
            text = str(schema)
            assert ("defs/text" in text) != (field in NAMES), f"{name}: {field}"


def _fields(schema: Any) -> Iterator[tuple[str, Any]]:
    """All fields with a string in them, without looking into objects below."""
    if isinstance(schema, dict):
        for field, inner in schema.get("properties", {}).items():
            text = str({**inner, "description": ""})
            if "properties" not in text and any(each in text for each in ("defs/text", "defs/id", "'string'", "enum")):
                yield field, inner
        for inner in schema.values():
            yield from _fields(inner)


def test_texts_are_found_where_they_stand_and_can_be_replaced() -> None:
    frame = parts()["frame"]
    assert dict(texts.words(frame))["limits[0].statement"] == "At most 110"
    assert "budget" not in dict(texts.words(frame)).values()
    lower = texts.changed(frame, str.lower)
    assert (lower["statement"], lower["limits"][0]["criterion"]) == ("which press is bought?", "Cost")
    assert texts.changed(parts()["recommendation"], len)["given_up"] == [12]


def test_a_place_in_a_list_that_no_list_has_is_no_figure() -> None:
    assert texts.fill("{ranking." + "9" * 5000 + "}", {"ranking": ["Y"]}).unknown != ()


def test_many_lines_are_walked_over_once() -> None:
    """Where each line was the beginning of a search through all of the others, these would take minutes."""
    assert texts.unbound("\n" * 300_000 + "7", frozenset()) == ["7"]
