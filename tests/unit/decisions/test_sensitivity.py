"""How far an order holds, and how far judges agree."""

from typing import Any

import pytest

from tests.unit.decisions.examples import SCORES, near, parts, scores, weights
from worker.decisions import agreement, problem, sensitivity, sums
from worker.decisions.agreement import Agreement, Spread
from worker.decisions.problem import Problem
from worker.decisions.sensitivity import Bar, Swap, Swaps

JUDGES = {
    each: scores(SCORES | {"X": (100, x, 20), "Y": (60, y, 10)})
    for each, x, y in [("a", 85, 60), ("b", 90, 75), ("c", 95, 45)]
}
ALL = ("X", "Y", "Z")


def given(**changed: Any) -> Problem:
    return problem.read(parts() | changed)


def worth(of: Problem) -> dict[str, dict[str, float]]:
    return sums.values(of, of.pooled)


def test_x_draws_level_at_four_sevenths_of_quality() -> None:
    found = sensitivity.swaps(worth(given()), given().weights, "Y")
    quality = found["Quality"]
    assert (quality.share, quality.down) == (0.5, None)
    assert quality.up is not None
    assert (quality.up.share, quality.up.to) == (near(4 / 7), "X")


def test_the_nearest_that_draws_level_is_named_on_each_side() -> None:
    rows = {"A": {"c": 0.5, "d": 0.5}, "B": {"c": 0.9, "d": 0.0}, "C": {"c": 0.7, "d": 0.2}, "D": {"c": 0.0, "d": 0.9}}
    found = sensitivity.swaps(rows, {"c": 0.5, "d": 0.5}, "A")["c"]
    assert found.up == Swap(near(5 / 9), "B")
    assert found.down == Swap(near(4 / 9), "D")


def test_who_ties_with_the_leader_swaps_at_once() -> None:
    rows = {"A": {"c": 0.4, "d": 0.6}, "B": {"c": 0.6, "d": 0.4}}
    assert sensitivity.swaps(rows, {"c": 0.5, "d": 0.5}, "A")["c"] == Swaps(0.5, None, Swap(0.5, "B"))


def test_one_criterion_alone_has_nothing_to_swap() -> None:
    rows = {"A": {"c": 0.4, "d": 0.6}, "B": {"c": 0.6, "d": 0.4}}
    shares = {"c": 1.0, "d": 0.0}
    assert sensitivity.swaps(rows, shares, "B")["c"] == Swaps(1.0, None, None)
    assert sensitivity.fifths(rows, shares).keys() == {"d"}
    assert sensitivity.swaps(rows, shares, "B")["d"] == Swaps(0.0, None, Swap(0.5, "A"))


def test_no_share_is_more_than_the_whole() -> None:
    rows = {"A": {"c": 0.4, "d": 0.6}, "B": {"c": 0.6, "d": 0.4}}
    share, order = sensitivity.fifths(rows, {"c": 0.9, "d": 0.1})["c"]["more"]
    assert (share, order.sums) == (1, {"A": 0.4, "B": 0.6})


def test_a_fifth_more_quality_makes_x_lead() -> None:
    found = sensitivity.fifths(worth(given()), given().weights)
    share, order = found["Quality"]["more"]
    assert share == near(0.6)
    assert order.leader == "X"
    assert (order.sums["X"], order.sums["Y"]) == (near(0.652), near(0.632))
    assert {(c, side): each.leader for c, row in found.items() for side, (_, each) in row.items()} == {
        **{(c, side): "Y" for c in ("Cost", "Time", "Quality") for side in ("less", "more")},
        ("Quality", "more"): "X",
    }


def test_a_score_at_its_ends_moves_the_lead() -> None:
    bars = sensitivity.tornado(given(scores={"one": scores(Y_Quality={"sd": 15}, X_Cost={"low": 90})}), "Y", ALL)
    [quality, cost] = bars
    assert (quality.of, cost.of) == ("Y/Quality", "X/Cost")
    assert (quality.low, quality.high) == (near(-0.025), near(0.125))
    assert (cost.low, cost.high) == (near(0.02), near(0.05))


def test_scores_that_one_uncertainty_moves_are_one_bar() -> None:
    cells = [("X", 110, 90), ("Y", 80, 40)]
    fuel = {
        "id": "fuel",
        "name": "Fuel",
        "cells": [{"alternative": a, "criterion": "Cost", "low": low, "high": high} for a, low, high in cells],
    }
    example = given(frame=parts()["frame"] | {"uncertainties": [fuel]}, scores={"one": scores(X_Cost={"low": 50})})
    assert sensitivity.tornado(example, "Y", ALL) == [Bar("fuel", near(0.02), near(0.08))]


def test_what_moves_with_an_uncertainty_and_is_not_compared_changes_no_lead() -> None:
    cells = [{"alternative": each, "criterion": "Cost", "low": 120, "high": 40} for each in ("X", "Y")]
    frame = parts()["frame"] | {"uncertainties": [{"id": "fuel", "name": "Fuel", "cells": cells}]}
    assert sensitivity.tornado(given(frame=frame), "Y", ("Y", "Z")) == [Bar("fuel", near(-0.06), near(0.18))]


def test_without_a_criterion_the_other_weights_are_rescaled() -> None:
    orders = sensitivity.without_criterion(given(), worth(given()), ALL)
    assert orders["Cost"].sums["X"] == near((0.5 * 0.9 + 0.2 * 0.4) / 0.7)
    assert {each: order.leader for each, order in orders.items()} == {"Cost": "X", "Quality": "Y", "Time": "X"}


def test_each_set_of_weights_has_an_order_of_its_own() -> None:
    finance = weights(100, 0, 0, id="finance", kind="stakeholder", stakeholder="finance")
    orders = sensitivity.by_set(given(weights={"sets": [weights(), finance]}), worth(given()), ALL)
    assert {each: order.order for each, order in orders.items()} == {
        "base": ["Y", "X", "Z"],
        "finance": ["Z", "Y", "X"],
    }


def test_the_judges_of_the_example_agree_by_seven_ninths() -> None:
    example = given(scores=JUDGES)
    orders = agreement.orders(example, ALL)
    assert {each: order.order for each, order in orders.items()} == {
        "a": ["Y", "X", "Z"],
        "b": ["Y", "X", "Z"],
        "c": ["X", "Y", "Z"],
    }
    measured = agreement.kendall_w([order.sums for order in orders.values()])
    assert measured == near(7 / 9)
    assert agreement.agreement(measured) is Agreement.AGREE
    on_quality = [{each: cells[each, "Quality"].base for each in ALL} for cells in example.scores.values()]
    assert agreement.kendall_w(on_quality) == 1
    assert example.pooled["X", "Quality"].base == 90


def test_ties_of_judges_are_corrected() -> None:
    tied = [{"A": 1.0, "B": 1.0, "C": 0.0}, {"A": 1.0, "B": 1.0, "C": 0.0}]
    assert agreement.kendall_w(tied) == near(1)
    assert agreement.kendall_w([{"A": 1.0, "B": 0.0}, {"A": 0.0, "B": 1.0}]) == 0


@pytest.mark.parametrize(
    "by_judge",
    [[], [{"A": 1.0, "B": 0.0}], [{"A": 1.0}, {"A": 1.0}], [{"A": 0.5, "B": 0.5}, {"A": 0.5, "B": 0.5}]],
    ids=["nobody", "one judge", "one alternative", "all tie"],
)
def test_what_cannot_be_measured_is_no_agreement(by_judge: list[dict[str, float]]) -> None:
    assert agreement.kendall_w(by_judge) is None
    assert agreement.agreement(None) is Agreement.NOT_MEASURED


def test_judges_who_order_otherwise_differ() -> None:
    assert agreement.agreement(0.69) is Agreement.DIFFER


def test_a_judge_who_lacks_a_score_orders_nothing_and_counts_where_there_is_one() -> None:
    short = {"scores": [each for each in scores()["scores"] if each["criterion"] != "Time"]}
    example = given(scores=JUDGES | {"d": short})
    assert agreement.orders(example, ALL).keys() == {"a", "b", "c"}
    assert agreement.without_judge(example, ALL)["d"].order == ["Y", "X", "Z"]


def test_without_one_judge_the_order_is_the_others() -> None:
    orders = agreement.without_judge(given(scores=JUDGES), ALL)
    assert orders["b"].sums["Y"] == near(0.18 + 0.5 * 0.525 + 0.16)
    assert {each: order.leader for each, order in orders.items()} == {"a": "Y", "b": "Y", "c": "Y"}
    assert agreement.without_judge(given(), ALL) == {}


def test_the_spread_of_judges_is_in_the_unit() -> None:
    found = {(each.alternative, each.criterion): each for each in agreement.spreads(given(scores=JUDGES))}
    assert found["X", "Quality"] == Spread("X", "Quality", 85, 95, near((50 / 3) ** 0.5))
    assert found["Z", "Time"].sd == 0
    assert agreement.spreads(given()) == []
