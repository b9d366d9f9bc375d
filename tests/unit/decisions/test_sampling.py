"""What chance does to an order: figures in closed form, within the error of what is drawn."""

import sys
from math import log, sqrt
from statistics import NormalDist, fmean
from typing import Any

import pytest

from tests.unit.decisions.examples import CRITERIA, near, parts, scores, weights
from worker.decisions import problem, sampling
from worker.decisions.problem import Problem
from worker.decisions.sampling import SAMPLES, Chances, chances
from worker.errors import Permanent

ALL = ("X", "Y", "Z")
NORMAL = {"X_Quality": {"sd": 5}, "Y_Quality": {"sd": 15}}


def given(**changed: Any) -> Problem:
    return problem.read(parts() | changed)


def drawn(leader: str = "Y", **changed: Any) -> Chances:
    return chances(given(**changed), ALL, leader)


def about(share: float) -> Any:
    return pytest.approx(share, abs=4 * sqrt(share * (1 - share) / SAMPLES))


def test_over_all_weights_each_is_first_as_often_as_the_areas_say() -> None:
    first = {each: ranks[0] for each, ranks in drawn().over_weights.items()}
    assert first == {"X": about(9 / 49), "Y": about(191 / 294), "Z": about(1 / 6)}


def test_shares_of_one_alternative_and_of_one_rank_are_a_whole() -> None:
    found = drawn(scores={"one": scores(**NORMAL)})
    for table in (found.over_weights, found.over_scores, found.over_both):
        assert [sum(table[each]) for each in ALL] == [pytest.approx(1)] * 3
        assert [sum(table[each][rank] for each in ALL) for rank in range(3)] == [pytest.approx(1)] * 3


def test_scores_beyond_the_scale_count_as_its_end() -> None:
    clamped = fmean(
        NormalDist().cdf((min(90 + 5 * NormalDist().inv_cdf((n + 0.5) / 5000), 100) - 100) / 15) for n in range(5000)
    )
    assert clamped == pytest.approx(0.2624, abs=5e-5)
    found = drawn(scores={"one": scores(**NORMAL)})
    assert (found.beats["X"]["Y"], found.beats["Y"]["X"]) == (about(clamped), about(1 - clamped))


def test_scores_within_a_wider_scale_are_normal() -> None:
    objectives = [dict(each) for each in parts()["objectives"]["objectives"]]
    objectives[CRITERIA.index("Quality")]["value"] = {"walk_away": 0, "ideal": 1000}
    found = drawn(
        objectives={"objectives": objectives},
        weights={"sets": [weights(quality=1000)]},
        scores={"one": scores(**NORMAL)},
    )
    exact = NormalDist().cdf(-0.05 / sqrt(0.025**2 + 0.075**2))
    assert exact == pytest.approx(0.2635, abs=5e-5)
    assert found.beats["X"]["Y"] == about(exact)


def test_a_range_is_a_triangle() -> None:
    # Y falls behind X below 50: of the triangle from 30 over 60 to 70 that is 20² of 40 · 30. Behind Z below 36.
    found = drawn(scores={"one": scores(Y_Quality={"low": 30, "high": 70})})
    assert found.beats["X"]["Y"] == about(1 / 3)
    assert found.over_scores["Y"] == [about(2 / 3), about(1 / 3 - 0.03), about(0.03)]


def test_over_both_weights_and_scores_are_drawn() -> None:
    # With a weight of w and B's score of u, A leads where w > u / (1 + u); u is a triangle from 0 over 0.5 to 1.
    scale = {"walk_away": 0, "ideal": 1}
    rows = [("A", "p", 1), ("A", "q", 0), ("B", "p", 0), ("B", "q", 0.5)]
    cells = [{"alternative": each, "criterion": criterion, "base": base} for each, criterion, base in rows]
    cells[-1] |= {"low": 0, "high": 1}
    two = problem.read(
        {
            "frame": {"statement": "Which?", "decider": "We"},
            "objectives": {"objectives": [{"id": each, "name": each, "value": scale} for each in "pq"]},
            "alternatives": {"alternatives": [{"id": each, "name": each} for each in "AB"]},
            "weights": {"sets": [{"id": "b", "kind": "base", "points": [{"objective": c, "points": 1} for c in "pq"]}]},
            "scores": {"one": {"scores": cells}},
        }
    )
    found = chances(two, "AB", "A")
    assert found.over_both["A"][0] == about(8 * log(4 / 3) - 4 * log(1.5))
    assert found.over_scores["A"][0] == 1
    assert found.over_weights["A"][0] == about(2 / 3)


def uncertain(*cells: tuple[str, float, float]) -> dict[str, Any]:
    moved = [{"alternative": a, "criterion": "Quality", "low": low, "high": high} for a, low, high in cells]
    frame: dict[str, Any] = parts()["frame"]
    return frame | {"uncertainties": [{"id": "skill", "name": "Skill", "cells": moved}]}


def test_scores_that_move_together_never_change_their_order() -> None:
    together = drawn(frame=uncertain(("X", 80, 100), ("Y", 50, 70)))
    assert (together.is_uncertain, together.beats["Y"]["X"], together.lead_sd) == (True, 1, near(0))
    against = drawn(frame=uncertain(("X", 80, 100), ("Y", 70, 50)))
    assert against.beats["Y"]["X"] < 1


def test_it_is_worth_to_know_what_can_turn_the_order() -> None:
    found = drawn(frame=uncertain(("Y", 30, 90)))
    assert found.information == {"skill": pytest.approx(0.15 * 4 / 81, abs=1e-6)}
    assert found.all_information == pytest.approx(0.15 * 4 / 81, abs=4 * 0.02 / sqrt(SAMPLES))
    assert drawn(frame=uncertain(("Z", 35, 45))).information == {"skill": 0}


def test_what_two_uncertainties_are_worth_takes_the_other_as_it_is_expected() -> None:
    cells = [{"alternative": "Y", "criterion": "Quality", "low": 30, "high": 90}]
    other = [{"alternative": "Y", "criterion": "Cost", "low": 55, "high": 65}]
    both = [{"id": "skill", "name": "Skill", "cells": cells}, {"id": "fuel", "name": "Fuel", "cells": other}]
    found = drawn(frame=parts()["frame"] | {"uncertainties": both}, scores={"one": scores(Z_Time={"sd": 0.1})})
    assert found.information == {"fuel": 0, "skill": pytest.approx(0.15 * 4 / 81, abs=1e-6)}


def test_a_range_that_leaves_out_the_score_reaches_to_it() -> None:
    assert drawn(frame=uncertain(("Y", 70, 80))).beats["Y"]["X"] == 1
    assert drawn(frame=uncertain(("Y", 30, 40))).beats["Y"]["X"] < 1


def test_without_a_range_nothing_is_uncertain() -> None:
    found = drawn()
    assert not found.is_uncertain
    assert (found.over_scores["Y"], found.lead_sd, found.all_information) == ([1, 0, 0], 0, 0)
    assert drawn(scores={"one": scores(**NORMAL)}).is_uncertain
    assert drawn(scores={"one": scores(Z_Quality={"base": 0, "high": 1})}).is_uncertain


def test_what_ties_shares_its_ranks() -> None:
    found = drawn(scores={"one": scores({"X": (60, 60, 10), "Y": (60, 60, 10), "Z": (40, 40, 20)})})
    assert found.over_scores == {"X": [0.5, 0.5, 0], "Y": [0.5, 0.5, 0], "Z": [0, 0, 1]}
    assert found.beats["X"]["Y"] == 0.5


def test_the_same_seed_draws_the_same_and_another_something_else() -> None:
    example = given(scores={"one": scores(**NORMAL)})
    first, again, other = (chances(example, ALL, "Y", samples=500, seed=seed) for seed in (7, 7, 8))
    assert first == again
    assert first.over_weights != other.over_weights
    assert first.beats != other.beats


def test_numbers_of_a_seed_are_those_of_every_version() -> None:
    assert sampling._Uniforms(1, 1).draw(3).tolist() == [0.33187239186810047, 0.6118959736456587, 0.5076326598924166]


def test_without_numpy_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(Permanent, match=r"numpy is missing: pip install 'assistant-worker\[decisions\]'"):
        drawn()
