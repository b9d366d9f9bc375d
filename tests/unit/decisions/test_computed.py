"""What stands in a record as computed."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.decisions.examples import SCORES, near, parts, scores, weights
from worker.decisions.computed import compute
from worker.errors import BadRecord

FEW = 50


def computed(**changed: Any) -> dict[str, Any]:
    return compute(parts() | changed, samples=FEW)


def found(kind: str, **changed: Any) -> list[tuple[str, str]]:
    return [(each["where"], each["said"]) for each in computed(**changed)["findings"] if each["kind"] == kind]


def test_the_example_is_computed_as_by_hand() -> None:
    figures = computed()
    assert figures["sums"] == {"X": near(0.59), "Y": near(0.64), "Z": near(0.52)}
    assert (figures["ranking"], figures["leader"], figures["lead"]) == (["Y", "X", "Z"], "Y", near(0.05))
    assert figures["swaps"]["Quality"] == {"share": 0.5, "down": None, "up": {"share": near(4 / 7), "to": "X"}}
    flipped = figures["fifths"]["Quality"]["more"]
    assert (flipped["leader"], flipped["sums"]["X"], flipped["sums"]["Y"]) == ("X", near(0.652), near(0.632))
    assert found("flips") == [("Quality.more", "X")]


def test_what_gateways_read_is_never_null_and_never_sure_of_what_was_not_measured() -> None:
    for figures in (computed(), computed(alternatives={"alternatives": [{"id": "X", "name": "X"}]}, **only("X"))):
        assert (figures["first_share"], figures["agreement"], figures["mismatches"]) == (0, "not_measured", 0)
    assert (figures["leader"], figures["lead"], figures["ranking"]) == ("", 0, ["X"])
    uncertain = computed(scores={"one": scores(X_Quality={"sd": 5}, Y_Quality={"sd": 15})})
    assert 0.5 < uncertain["first_share"] < 1


def only(*names: str) -> dict[str, Any]:
    frame = parts()["frame"] | {"limits": []}
    recommendation = {"alternative": None, "why": "Nothing to choose from"}
    rows = {each: SCORES[each] for each in names}
    return {"frame": frame, "scores": {"one": scores(rows)}, "recommendation": recommendation}


def test_a_broken_hard_limit_excludes_from_the_ranking_and_not_from_view() -> None:
    figures = computed(scores={"one": scores(SCORES | {"Y": (112, 100, 5)})})
    assert figures["ranking"] == ["X", "Z"]
    assert figures["excluded"] == {"Y": ["budget"]}
    assert figures["sums"]["Y"] > figures["sums"]["X"]
    assert "Y" not in figures["over_weights"]


def test_a_limit_that_the_score_breaks_is_told_whatever_was_said() -> None:
    broken = {"scores": {"one": scores(SCORES | {"Y": (112, 60, 10)})}}
    assert found("limit_broken", **broken) == [("Y", "budget")]
    assert found("screening", **broken) == [("Y", "budget")]
    assert found("excluded_recommended", **broken) == [("Y", "budget")]
    assert computed(**broken)["mismatches"] == 2
    assert found("limit_at_risk", scores={"one": scores(X_Cost={"high": 115})}) == [("X", "budget")]


def test_what_earlier_samples_had_wrong_is_told() -> None:
    """A sum misprinted, a budget exceeded and said to be kept, its breach recommended, a condition beside it all."""
    frame = parts()["frame"]
    frame["limits"] = [{"id": "budget", "statement": "8.5 M€", "hard": True, "criterion": "Cost", "at_most": 8.5}]
    wrong = {
        "frame": frame,
        "scores": {"one": scores({"X": (8.4, 90, 20), "Y": (8.6, 99, 9), "Z": (6.1, 40, 20)})},
        "recommendation": {
            "alternative": "Y",
            "why": "With 82.06 points it leads.",
            "conditions": [{"text": "Only with a subsidy"}],
        },
    }
    assert found("unbound", **wrong) == [("recommendation.why", "82.06")]
    assert found("screening", **wrong) == [("Y", "budget")]
    assert found("excluded_recommended", **wrong) == [("Y", "budget")]
    assert found("condition_outside", **wrong) == [("recommendation.conditions[0]", "")]
    assert computed(**wrong)["mismatches"] == 3


def test_figures_that_code_did_not_write_are_mismatches() -> None:
    recommendation = {"alternative": "Y", "why": "It has 82.06 of {sums.V}, at a budget of 110 and Quality of 60"}
    dissent = {"dissent": [{"text": "7 of them"}]}
    changed = {"recommendation": recommendation, "dissent": dissent}
    assert found("unbound", **changed) == [("recommendation.why", "82.06"), ("dissent.dissent[0].text", "7")]
    assert found("unknown_figure", **changed) == [("recommendation.why", "{sums.V}")]
    assert computed(**changed)["mismatches"] == 3


def test_a_condition_that_rests_on_nothing_and_another_than_the_leader_are_told() -> None:
    recommendation = {"alternative": "X", "why": "…", "conditions": [{"text": "Only with a subsidy"}]}
    assert found("condition_outside", recommendation=recommendation) == [("recommendation.conditions[0]", "")]
    assert found("not_leader", recommendation=recommendation) == [("X", "Y")]
    assert computed(recommendation=recommendation)["mismatches"] == 0


def test_a_lead_that_is_smaller_than_it_varies_is_told() -> None:
    wide = {"scores": {"one": scores(X_Quality={"sd": 5}, Y_Quality={"sd": 15})}}
    assert found("lead_within_uncertainty", **wide) == [("Y", "")]
    assert found("lead_within_uncertainty", scores={"one": scores(Y_Quality={"sd": 1})}) == []


def test_missing_scores_and_ranges_beside_their_score_are_told() -> None:
    short = {
        "scores": [each for each in scores()["scores"] if (each["alternative"], each["criterion"]) != ("Y", "Cost")]
    }
    assert found("missing", scores={"one": scores(), "two": short}) == [("two", "Y/Cost")]
    cell = {"alternative": "Y", "criterion": "Quality", "low": 70, "high": 80}
    frame = parts()["frame"] | {"uncertainties": [{"id": "skill", "name": "Skill", "cells": [cell]}]}
    assert found("range_leaves_out", frame=frame) == [("skill", "Y/Quality")]


def test_a_recommendation_of_what_is_not_there_cannot_be_computed() -> None:
    with pytest.raises(BadRecord, match="names no alternative: V"):
        computed(recommendation={"alternative": "V", "why": "…"})


def test_an_alternative_that_is_dropped_changes_nothing_for_the_others() -> None:
    two = {"alternatives": [{"id": each, "name": each} for each in "XY"]}
    figures = computed(alternatives=two, **only("X", "Y"))
    assert figures["sums"] == {"X": near(0.59), "Y": near(0.64)}


IDS = ["A", "B", "C", "D", "E"]


@st.composite
def decisions(draw: st.DrawFn, *, judges: int = 3) -> dict[str, Any]:
    alternatives = IDS[: draw(st.integers(1, 5))]
    criteria = ["p", "q", "r", "s"][: draw(st.integers(1, 4))]
    score = st.integers(0, 100)

    def cell(each: str, criterion: str) -> dict[str, Any]:
        low, base, high = sorted(draw(st.tuples(score, score, score)))
        ranged = {"low": low, "high": high} if draw(st.booleans()) else {}
        return {"alternative": each, "criterion": criterion, "base": base} | ranged

    points = [{"objective": each, "points": draw(st.integers(1, 9))} for each in criteria]
    return {
        "frame": {"statement": "Which?", "decider": "We"},
        "objectives": {
            "objectives": [{"id": each, "name": each, "value": {"walk_away": 0, "ideal": 100}} for each in criteria]
        },
        "alternatives": {"alternatives": [{"id": each, "name": each} for each in alternatives]},
        "weights": {"sets": [{"id": "base", "kind": "base", "points": points}]},
        "scores": {
            f"j{judge}": {"scores": [cell(each, criterion) for each in alternatives for criterion in criteria]}
            for judge in range(draw(st.integers(1, judges)))
        },
    }


@settings(max_examples=25)
@given(decisions())
def test_the_same_parts_lead_to_the_same_figures_in_whatever_order_they_stand(content: dict[str, Any]) -> None:
    turned = json.loads(json.dumps(content))
    for part in (turned["objectives"]["objectives"], turned["alternatives"]["alternatives"]):
        part.reverse()
    for judge in turned["scores"].values():
        judge["scores"].reverse()
    turned["scores"] = dict(reversed(turned["scores"].items()))
    first, again = (compute(each, samples=FEW) for each in (content, turned))
    assert json.dumps(first, sort_keys=True) == json.dumps(again, sort_keys=True)


@settings(max_examples=25)
@given(decisions(), st.integers(-1000, 1000), st.sampled_from([-3, 0.5, 10]))
def test_another_zero_and_another_unit_change_no_figure(content: dict[str, Any], shift: int, unit: float) -> None:
    other = json.loads(json.dumps(content))
    for objective in other["objectives"]["objectives"]:
        objective["value"] = {"walk_away": shift, "ideal": 100 * unit + shift}
    for judge in other["scores"].values():
        for cell in judge["scores"]:
            moved = {end: cell[end] * unit + shift for end in ("low", "base", "high") if end in cell}
            if unit < 0 and "low" in moved:
                moved |= {"low": moved["high"], "high": moved["low"]}
            cell.update(moved)
    first, then = (compute(each, samples=FEW) for each in (content, other))
    assert then["sums"] == {each: near(total) for each, total in first["sums"].items()}
    assert (then["ranking"], then["over_weights"]) == (first["ranking"], first["over_weights"])


@settings(max_examples=25)
@given(decisions())
def test_what_is_dominated_never_stands_before_and_whatever_leaves_changes_no_sum(content: dict[str, Any]) -> None:
    figures = compute(content, samples=FEW)
    place = {each: number for number, each in enumerate(figures["ranking"])}
    for pair in figures["dominance"]:
        assert place[pair["over"]] < place[pair["under"]]
    last = content["alternatives"]["alternatives"].pop()["id"]
    for judge in content["scores"].values():
        judge["scores"] = [each for each in judge["scores"] if each["alternative"] != last]
    if content["alternatives"]["alternatives"]:
        assert compute(content, samples=FEW)["sums"] == {
            each: total for each, total in figures["sums"].items() if each != last
        }


@settings(max_examples=25)
@given(decisions(judges=1))
def test_one_judge_is_never_agreement_and_one_alternative_never_a_ranking(content: dict[str, Any]) -> None:
    figures = compute(content, samples=FEW)
    assert (figures["agreement"], figures["kendall_w"], figures["spreads"]) == ("not_measured", None, [])
    assert (figures["leader"] == "") == (len(figures["ranking"]) == 1)


@settings(max_examples=25)
@given(decisions(judges=1))
def test_a_bar_of_the_tornado_is_the_lead_that_this_score_alone_would_make(content: dict[str, Any]) -> None:
    figures = compute(content, samples=FEW)
    [cells] = [each["scores"] for each in content["scores"].values()]
    by_place = {f"{each['alternative']}/{each['criterion']}": each for each in cells}
    for bar in figures["tornado"][:3]:
        cell = by_place[bar["of"]]
        for side in ("low", "high"):
            kept = cell["base"]
            cell["base"] = cell[side]
            totals = compute(content, samples=FEW)["sums"]
            cell["base"] = kept
            leads = totals.pop(figures["leader"])
            # Both are rounded, the sums before they are taken from each other.
            assert bar[side] == pytest.approx(leads - max(totals.values()), abs=2e-12)


@settings(max_examples=25)
@given(decisions())
def test_shares_stay_shares_and_ties_go_by_id(content: dict[str, Any]) -> None:
    figures = compute(content, samples=FEW)
    assert sum(figures["shares"].values()) == pytest.approx(1, abs=1e-11)
    sums = figures["sums"]
    assert figures["ranking"] == sorted(sums, key=lambda each: (-sums[each], each))
    assert all(0 <= total <= 1 for total in sums.values())
    for swap in figures["swaps"].values():
        down, up = swap["down"] or swap, swap["up"] or swap
        assert 0 <= down["share"] <= swap["share"] <= up["share"] <= 1
    assert 0 <= figures["first_share"] <= 1
    assert figures["lead"] >= 0
    assert figures["kendall_w"] is None or -1e-12 <= figures["kendall_w"] <= 1 + 1e-12


def test_sets_of_weights_have_orders_of_their_own() -> None:
    finance = weights(100, 0, 0, id="finance", kind="stakeholder", stakeholder="finance")
    sets = computed(weights={"sets": [weights(), finance]})["sets"]
    assert {name: each["leader"] for name, each in sets.items()} == {"base": "Y", "finance": "Z"}
    assert sets["finance"]["shares"] == {"Cost": 1, "Quality": 0, "Time": 0}
