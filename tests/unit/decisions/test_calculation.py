"""What a spreadsheet would compute of a record is what the record has."""

import math
from typing import Any

import pytest

from tests.unit.decisions.examples import parts, said, scores, weights
from tests.unit.decisions.formulas import Book
from worker.decisions.calculation import Formula, Sheet, sheets
from worker.decisions.record import Record, build
from worker.decisions.report import shown

BENT = {"walk_away": 120, "ideal": 20, "between": [{"at": 100, "value": 0.5}, {"at": 60, "value": 0.6}]}
COST = parts()["objectives"]["objectives"][0]
ABOVE = [{"id": "Use", "name": "Use"}, *({**each, "parent": "Use"} for each in parts()["objectives"]["objectives"][1:])]
TREE = [
    {"objective": each, "points": points}
    for each, points in zip(("Use", "Cost", "Time", "Quality"), (7, 3, 2, 5), strict=True)
]
LIMIT = parts()["frame"]["limits"][0]
SOFT = {"frame": {**parts()["frame"], "limits": [LIMIT | {"hard": False}]}}
SCREENED = [{"id": "X", "name": "X"}, {"id": "Y", "name": "Y", "screening": [{"limit": "budget", "kept": False}]}]
CASES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "judges": {"scores": {"one": scores(Y_Quality={"sd": 15}), "two": scores(X_Cost={"base": 115}), "three": scores()}},
    "a limit is broken": {"scores": {"one": scores(Y_Cost={"base": 110.1})}},
    "a limit is reached but for the last digit": {"scores": {"one": scores(Y_Cost={"base": math.nextafter(110, 200)})}},
    "a limit from below, and a soft one": {
        "frame": {
            **parts()["frame"],
            "limits": [
                LIMIT,
                LIMIT | {"id": "few", "at_least": 50},
                LIMIT | {"id": "soft", "hard": False, "at_most": 1},
            ],
        }
    },
    "a limit was said to be broken": {
        "frame": {**parts()["frame"], "limits": [{"id": "budget", "statement": "No debt", "hard": True}]},
        "alternatives": {"alternatives": SCREENED},
        "scores": {"one": scores({"X": (100, 90, 20), "Y": (60, 60, 10)})},
    },
    "scores beyond the scale, at its ends and at its bends": {
        "objectives": {"objectives": [COST | {"value": BENT}, *parts()["objectives"]["objectives"][1:]]},
        "scores": {"one": scores({"X": (130, -5, 5), "Y": (60, 100, 30), "Z": (80, 0, 17)})},
        **SOFT,
    },
    "all tie": {"scores": {"one": scores(dict.fromkeys("XYZ", (60, 60, 10)))}},
    "a score is missing": {"scores": {"one": {"scores": scores()["scores"][1:]}}},
    "a criterion weighs nothing": {"weights": {"sets": [weights(0, 1, 1)]}},
    "weights of a tree": {
        "objectives": {"objectives": [COST, *ABOVE]},
        "weights": {"sets": [weights() | {"points": TREE}, weights() | {"id": "other", "kind": "what_if"}]},
    },
    "alone": {
        "alternatives": {"alternatives": [{"id": "Y", "name": "Y"}]},
        "scores": {"one": scores({"Y": (40, 40, 20)})},
    },
}


def made(**changed: Any) -> Record:
    return build("r1", said(**changed), "computed", samples=9)


def all_of(made: list[Sheet]) -> list[tuple[str, Formula]]:
    return [(each.title, cell) for each in made for row in each.rows for cell in row if isinstance(cell, Formula)]


@pytest.mark.parametrize("case", CASES)
def test_formulas_come_to_the_records_figures_and_ranking(case: str) -> None:
    record = made(**CASES[case])
    computed = record["content"]["computed"]
    named = sheets(shown(record))
    book = Book(named)

    alternatives = sorted(each["id"] for each in record["content"]["alternatives"]["alternatives"])
    ranks = dict(zip(alternatives, book.column("Ranking", "Rank"), strict=True))
    assert sorted((each for each in ranks if ranks[each] > 0), key=ranks.__getitem__) == computed["ranking"]
    assert sorted(each for each in ranks.values() if each > 0) == [*range(1, len(computed["ranking"]) + 1)]
    for title, head, recorded in (
        ("Scores", "Score", "Recorded score"),
        ("Scores", "Value", "Recorded value"),
        ("Ranking", "Sum", "Recorded sum"),
        ("Ranking", "Rank", "Recorded rank"),
    ):
        assert book.column(title, head) == pytest.approx(book.column(title, recorded), abs=1e-11, nan_ok=True)


@pytest.mark.parametrize("case", CASES)
def test_what_a_cell_shows_before_it_is_computed_is_what_it_comes_to(case: str) -> None:
    named = sheets(shown(made(**CASES[case])))
    book = Book(named)
    for title, cell in all_of(named):
        figure = math.nan if cell.figure == "" else cell.figure
        assert book.figure(title, cell) == pytest.approx(figure, abs=1e-11, nan_ok=True), (title, cell)


def test_other_points_and_scores_give_another_ranking() -> None:
    named = {each.title: each for each in sheets(shown(made()))}
    assert Book([*named.values()]).column("Ranking", "Rank") == [2, 1, 3]
    named["Weights"].rows[1][3] = 1000.0
    assert Book([*named.values()]).column("Ranking", "Rank") == [1, 2, 3]
    named["Judges"].rows[0][5] = 111.0
    book = Book([*named.values()])
    assert book.column("Ranking", "Rank")[1:] == [1, 2]
    assert book.column("Ranking", "Keeps hard limits") == [0, 1, 1]


def test_a_record_that_was_not_computed_has_no_sheet_that_computes() -> None:
    assert sheets(shown(build("r1", said(), "open"))) == []
