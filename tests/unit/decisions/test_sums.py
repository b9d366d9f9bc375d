"""What is computed with, and the order that it gives."""

from typing import Any

import pytest

from tests.unit.decisions.examples import SCORES, parts, scores, weights
from worker.decisions import problem, sums
from worker.decisions.problem import Cell, Criterion, Problem
from worker.errors import BadRecord


def given(**changed: Any) -> Problem:
    return problem.read(parts() | changed)


def said(**changed: Any) -> str:
    with pytest.raises(BadRecord) as caught:
        given(**changed)
    return str(caught.value)


def test_the_example_has_the_sums_that_are_computed_by_hand() -> None:
    example = given()
    worth = sums.values(example, example.pooled)

    assert example.weights == pytest.approx({"Cost": 0.3, "Quality": 0.5, "Time": 0.2}, abs=1e-15)
    assert worth["X"] == pytest.approx({"Cost": 0.2, "Quality": 0.9, "Time": 0.4}, abs=1e-15)
    ordered = sums.order(sums.sums(worth, example.weights), example.alternatives)
    assert ordered.sums == pytest.approx({"X": 0.59, "Y": 0.64, "Z": 0.52}, abs=1e-12)
    assert (ordered.order, ordered.leader) == (["Y", "X", "Z"], "Y")
    assert ordered.lead == pytest.approx(0.05, abs=1e-12)


def test_a_score_beyond_the_scale_is_worth_what_its_end_is() -> None:
    cost = Criterion("Cost", ((20, 1.0), (60, 0.7), (120, 0.0)))
    assert [cost.value(score) for score in (0, 20, 40, 60, 90, 120, 500)] == [
        *(1.0, 1.0, pytest.approx(0.85), pytest.approx(0.7), pytest.approx(0.35)),
        *(0.0, 0.0),
    ]


def test_what_ties_in_twelve_digits_is_ordered_by_id_and_shares_its_rank() -> None:
    totals = {"B": 0.1 + 0.2, "A": 0.3, "C": 0.9, "D": 0.1}
    assert sums.order(totals, totals).order == ["C", "A", "B", "D"]
    assert sums.ranks(totals) == {"A": 2.5, "B": 2.5, "C": 1, "D": 4}


@pytest.mark.parametrize("among", [[], ["X"]])
def test_fewer_than_two_alternatives_are_no_ranking(among: list[str]) -> None:
    ordered = sums.order({"X": 0.5}, among)
    assert (ordered.leader, ordered.lead, ordered.order) == ("", 0, among)


def test_an_alternative_that_lacks_a_score_has_no_sum_and_no_place() -> None:
    rows = [each for each in scores()["scores"] if (each["alternative"], each["criterion"]) != ("Y", "Time")]
    example = given(scores={"one": {"scores": rows}})
    totals = sums.sums(sums.values(example, example.pooled), example.weights)
    assert totals.keys() == {"X", "Z"}
    assert sums.order(totals, example.alternatives).order == ["X", "Z"]


def test_one_that_is_nowhere_worse_and_somewhere_better_dominates() -> None:
    example = given(
        scores={"one": scores(SCORES | {"W": (100, 90, 20), "V": (100, 80, 20)})}, alternatives=named("VWXYZ")
    )
    worth = sums.values(example, example.pooled)
    assert sums.dominance(worth, ["V", "W", "X", "Y"]) == [("W", "V"), ("X", "V")]


def named(letters: str) -> dict[str, Any]:
    return {"alternatives": [{"id": each, "name": each} for each in letters]}


def test_weights_of_a_tree_are_shared_out_from_above() -> None:
    objectives = parts()["objectives"]["objectives"]
    money = {"id": "Money", "name": "Money"}
    tree = {
        "objectives": [money, objectives[0] | {"parent": "Money"}, objectives[1], objectives[2] | {"parent": "Money"}]
    }
    points = [("Money", 1), ("Quality", 3), ("Cost", 1), ("Time", 4)]
    base = weights(points=[{"objective": name, "points": each} for name, each in points])
    assert given(objectives=tree, weights={"sets": [base]}).weights == pytest.approx(
        {"Cost": 0.05, "Quality": 0.75, "Time": 0.2}
    )
    assert given(objectives=tree).weights == pytest.approx({"Cost": 0.3, "Quality": 0.5, "Time": 0.2})


def test_judges_count_alike_and_their_ranges_together() -> None:
    judges = {
        "a": scores(X_Quality={"base": 85, "low": 80, "high": 86}),
        "b": scores(X_Quality={"base": 95}),
        "c": scores(X_Quality={"base": 90, "low": 70}),
    }
    pooled = given(scores=judges).pooled
    assert pooled["X", "Quality"] == Cell(90, 70, 95)
    assert pooled["Y", "Quality"].is_sure


def test_judges_who_say_the_same_are_sure_of_it_to_the_last_digit() -> None:
    pooled = given(scores={each: scores(X_Quality={"base": 0.1}) for each in "abc"}).pooled
    assert (pooled["X", "Quality"], pooled["X", "Quality"].is_sure) == (Cell(0.1, 0.1, 0.1), True)


def test_standard_deviations_and_the_judges_differences_add_up_as_variances() -> None:
    judges = {"a": scores(X_Quality={"base": 86, "sd": 3}), "b": scores(X_Quality={"base": 94, "sd": 3})}
    assert given(scores=judges).pooled["X", "Quality"] == Cell(90, 90, 90, 5)


@pytest.mark.parametrize(
    ("more", "cell", "kept"),
    [
        ({}, {"base": 110}, "kept"),
        ({}, {"base": 110.5}, "broken"),
        ({}, {"base": 105, "high": 111}, "at_risk"),
        ({}, {"base": 105, "sd": 6}, "at_risk"),
        ({"screening": [{"limit": "budget", "kept": True}]}, {"base": 120}, "broken"),
        ({"screening": [{"limit": "budget", "kept": False}]}, {"base": 50}, "broken"),
    ],
)
def test_a_limit_is_judged_by_the_number_and_no_word_makes_up_for_it(
    more: dict[str, Any], cell: dict[str, Any], kept: str
) -> None:
    alternatives = {"alternatives": [{"id": "X", "name": "X"} | more, *named("YZ")["alternatives"]]}
    example = given(alternatives=alternatives, scores={"one": scores(X_Cost=cell)})
    assert sums.limits(example)["X"] == {"budget": kept}
    assert sums.excluded(example) == ({"X": ["budget"]} if kept == "broken" else {})


def test_a_mean_that_is_off_by_its_last_digit_breaks_no_limit() -> None:
    limit = {"id": "budget", "statement": "At most 12.3", "hard": True, "criterion": "Cost", "at_most": 12.3}
    judges = {f"j{base}".replace(".", "_"): scores(X_Cost={"base": base}) for base in (12.3, 13.8, 10.8)}
    example = given(frame=parts()["frame"] | {"limits": [limit]}, scores=judges)
    assert example.pooled["X", "Cost"].base > 12.3
    assert sums.by_number(example, "X", example.limits[0]) == "at_risk"
    assert sums.by_number(example, "Y", example.limits[0]) == "broken"


def test_a_limit_without_a_number_is_what_the_screening_says_and_a_soft_one_excludes_nothing() -> None:
    limits = [{"id": each, "statement": "…", "hard": each == "law"} for each in ("law", "wish", "other")]
    screening = [{"limit": "law", "kept": True}, {"limit": "wish", "kept": False}]
    alternatives = {"alternatives": [{"id": "X", "name": "X", "screening": screening}, *named("YZ")["alternatives"]]}
    example = given(frame=parts()["frame"] | {"limits": limits}, alternatives=alternatives)
    assert sums.limits(example)["X"] == {"law": "kept", "other": "unknown", "wish": "broken"}
    assert sums.excluded(example) == {}


def test_all_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(BadRecord, match="lacks objectives, scores, and cannot be computed"):
        problem.read({name: value for name, value in parts().items() if name not in {"objectives", "scores"}})
    assert "lacks scores of at least one judge" in said(scores={})


QUALITY = {"id": "Quality", "name": "Quality"}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"scores": {"one": scores(SCORES | {"W": (1, 1, 1)})}}, "one's score of W/Cost names no alternative: W"),
        (
            {"scores": {"one": scores(X_Cost={"criterion": "Price"})}},
            "one's score of X/Price names no criterion: Price",
        ),
        ({"scores": {"one": scores(X_Cost={"alternative": "Y"})}}, "one's score of Y/Cost is there twice"),
        ({"scores": {"one": scores(X_Cost={"low": 101})}}, "one's score of X/Cost is not from low to high"),
        ({"scores": {"one": scores(X_Cost={"low": 1, "sd": 3})}}, "X/Cost has a range and a standard deviation"),
        ({"weights": {"sets": [weights(), weights(id="other")]}}, "one set of weights has to be the base, and 2 are"),
        ({"weights": {"sets": [weights(), weights(kind="what_if")]}}, "2 are the set of weights base"),
        ({"weights": {"sets": [weights(0, 0, 0)]}}, "the weights base are all 0"),
        ({"weights": {"sets": [weights(stakeholder="staff")]}}, "the weights base are of nobody: staff"),
        (
            {"weights": {"sets": [weights(points=[{"objective": "Cost", "points": 1}])]}},
            "the weights base lack Quality",
        ),
        ({"weights": {"sets": [weights(points=[{"objective": "Price", "points": 1}])]}}, "name no objective: Price"),
        ({"objectives": {"objectives": [QUALITY]}}, "Quality has no value function, and nothing stands below it"),
        ({"objectives": {"objectives": [QUALITY | {"parent": "All"}]}}, "Quality has no parent All"),
        ({"objectives": {"objectives": [QUALITY | {"parent": "Quality"}]}}, "Quality stands below itself"),
        (
            {"objectives": {"objectives": [QUALITY | {"value": {"walk_away": 1, "ideal": 1}}]}},
            "the value function of Quality does not go one way",
        ),
        (
            {
                "objectives": {
                    "objectives": [
                        QUALITY | {"value": {"walk_away": 0, "ideal": 9, "between": [{"at": 10, "value": 1}]}}
                    ]
                }
            },
            "the value function of Quality does not go one way",
        ),
        (
            {"frame": parts()["frame"] | {"limits": [{"id": "l", "statement": "…", "hard": True, "at_most": 1}]}},
            "the limit l bounds no criterion",
        ),
        ({"frame": parts()["frame"] | {"limits": []}}, "Y is screened for no limit: budget"),
    ],
)
def test_an_id_that_leads_nowhere_and_what_no_number_comes_of_is_named(changed: dict[str, Any], words: str) -> None:
    assert words in said(**changed)


def test_a_score_moves_with_one_uncertainty_alone() -> None:
    cell = {"alternative": "X", "criterion": "Cost", "low": 90, "high": 110}
    twice = [{"id": each, "name": each, "cells": [cell]} for each in ("fuel", "steel")]
    words = said(frame=parts()["frame"] | {"uncertainties": twice})
    assert "the score of X/Cost moves with fuel and once more with steel: join them" in words


def test_a_recommendation_of_what_is_not_there_is_found() -> None:
    recommendation = {
        "alternative": "V",
        "why": "…",
        "conditions": [{"text": "…", "rests_on": "weather"}, {"text": "…"}],
    }
    assert problem.wrong_references(parts() | {"recommendation": recommendation}) == [
        "the recommendation names no alternative: V",
        "a condition rests on weather, which is no uncertainty, limit or assumption",
    ]
    assert problem.wrong_references(parts()) == []
