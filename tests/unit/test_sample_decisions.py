"""The sample processes that make a decision's record: their parts, and every figure worked out again in another way."""

import json
import re
from collections.abc import Mapping
from itertools import combinations
from math import inf
from statistics import fmean
from typing import Any

import pytest

from tests.decided import WAYS, Deciding, decided, sample
from tests.scripted import BPMN, activities
from worker.decisions import as_markdown, hashing, record

Table = Mapping[tuple[str, str], float]
PROCESSES = list(WAYS)


def content(instance: Deciding) -> Any:
    assert instance.record is not None
    return record.shown(instance.record)


def scores_of(part: Any) -> Table:
    return {(each["alternative"], each["criterion"]): each["base"] for each in part["scores"]}


def sums(content: Any, scores: Table) -> dict[str, float]:
    """Weighted sums of the base weights, which none of the samples has below another objective."""
    scales = {each["id"]: each["value"] for each in content["objectives"]["objectives"]}
    [base] = [each for each in content["weights"]["sets"] if each["kind"] == "base"]
    points = {each["objective"]: each["points"] for each in base["points"]}
    found = dict[str, float]()
    for (way, criterion), score in scores.items():
        scale = scales[criterion]
        value = (score - scale["walk_away"]) / (scale["ideal"] - scale["walk_away"])
        found[way] = found.get(way, 0) + min(1, max(0, value)) * points[criterion] / sum(points.values())
    return found


def ranking(content: Any, totals: Mapping[str, float], pooled: Table) -> list[str]:
    """Those that keep the limits, the best first."""
    bounds = [
        (each["criterion"], each.get("at_least", -inf), each.get("at_most", inf)) for each in content["frame"]["limits"]
    ]
    broken = {
        way
        for way, name in pooled
        for on, least, most in bounds
        if name == on and not least <= pooled[way, name] <= most
    }
    return sorted(totals.keys() - broken, key=lambda way: -totals[way])


@pytest.mark.parametrize("process", PROCESSES)
def test_what_was_computed_is_what_a_pocket_calculator_says(process: str) -> None:
    said = content(sample(process))
    computed = said["computed"]
    judges = {judge: scores_of(part) for judge, part in said["scores"].items()}
    [some, *_] = judges.values()
    pooled = {place: fmean(each[place] for each in judges.values()) for place in some}
    totals = sums(said, pooled)
    order = ranking(said, totals, pooled)
    assert computed["sums"] == pytest.approx(totals)
    assert computed["ranking"] == order
    assert (computed["leader"], computed["lead"]) == (order[0], pytest.approx(totals[order[0]] - totals[order[1]]))
    assert computed["kendall_w"] == (pytest.approx(agreed(said, judges, order)) if len(judges) > 1 else None)


def agreed(said: Any, judges: Mapping[str, Table], among: list[str]) -> float:
    """Kendall's W by the mean of all pairs' rank correlations, which is the same where nobody ties."""
    ranks = []
    for each in judges.values():
        totals = sums(said, each)
        ranks.append([sorted(among, key=lambda way: -totals[way]).index(way) for way in among])
    count, judged = len(among), len(ranks)
    rho = [
        1 - 6 * sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) / (count**3 - count)
        for one, other in combinations(ranks, 2)
    ]
    return (fmean(rho) * (judged - 1) + 1) / judged


@pytest.mark.parametrize("process", PROCESSES)
def test_the_record_is_whole_and_nothing_that_was_said_contradicts_it(process: str) -> None:
    instance = sample(process)
    assert instance.record is not None
    assert instance.record["status"] == "proposed"
    assert content(instance)["computed"]["mismatches"] == 0
    assert instance.record["content_sha256"] == hashing.sha256(instance.record["content"])
    assert "{" not in as_markdown.words(instance.record), "every figure has its place filled in"


@pytest.mark.parametrize("process", PROCESSES)
def test_who_leads_is_recommended_with_what_is_given_up(process: str) -> None:
    said = content(sample(process))
    pooled, order = said["computed"]["scores"], said["computed"]["ranking"]
    recommendation = said["recommendation"]
    assert recommendation["alternative"] == order[0]
    better = [
        each["name"]
        for each in said["objectives"]["objectives"]
        if abs(each["value"]["ideal"] - pooled[order[1]][each["id"]])
        < abs(each["value"]["ideal"] - pooled[order[0]][each["id"]])
    ]
    assert [text.partition(":")[0] for text in recommendation["given_up"]] == better


@pytest.mark.parametrize("process", PROCESSES)
def test_every_answer_is_asked_for_in_the_form_of_its_part(process: str) -> None:
    brought = {each.part for each in sample(process).said if each.source["of"] == "turn"}
    assert brought <= {each.said("record.part") for each in activities(process).values()}


def test_judges_of_the_trade_study_differ_until_they_have_seen_each_others_reasons() -> None:
    instance = Deciding("trade_study")
    agreement = []
    for step in WAYS["trade_study"]:
        instance.take(activities("trade_study")[step])
        if step == "compute":
            agreement.append(content(instance)["computed"]["agreement"])
    assert agreement == ["differ", "agree"]
    assert len(content(instance)["scores"]) == 3, "who scores once more takes the place of what that judge said before"


def test_a_judge_moves_towards_the_others_and_never_beyond_them() -> None:
    answers = sample("trade_study").answers
    judges = json.loads(sample("trade_study").variables["judges"].value)
    before, after = (
        {judge: scores_of(json.loads(answers[f"{step} {judge}"])) for judge in judges}
        for step in ("score", "score_again")
    )
    moved = set()
    for judge in judges:
        for place, score in before[judge].items():
            mean = fmean(each[place] for each in before.values())
            assert abs(after[judge][place] - mean) <= abs(score - mean)
            moved |= {judge} if after[judge][place] != score else set()
    assert "judge_operations" in moved


def test_the_limit_decides_what_a_trade_study_may_recommend() -> None:
    limit = [{"limit": "At most 6000 k€", "measure": "Investment", "at_most": 6000}]
    said = content(decided("trade_study", limits=json.dumps(limit)))
    assert said["recommendation"]["alternative"] == "hybrid"
    assert sorted(said["computed"]["excluded"]) == ["battery", "hydrogen"]


def test_who_attacks_is_given_the_record_and_nothing_else() -> None:
    steps = [each for each in activities("red_team").values() if each.is_for_assistant]
    assert [(each.said("service.name"), each.said("data.input")) for each in steps] == [
        ("challenger", "case_text"),
        ("challenger", "-"),
    ]
    study = {each.said("service.name") for each in activities("trade_study").values()}
    assert "challenger" not in study, "it was not there"


def test_the_record_that_is_attacked_is_that_of_the_trade_study() -> None:
    attacked, made = content(sample("red_team")), content(sample("trade_study"))
    for part in ("frame", "objectives", "alternatives", "weights"):
        assert attacked[part] == made[part]
    assert attacked["computed"]["ranking"] == made["computed"]["ranking"]
    for way, total in made["computed"]["sums"].items():
        assert attacked["computed"]["sums"][way] == pytest.approx(total, abs=0.001), "scores are rounded"


def test_what_was_found_against_it_is_what_the_record_has() -> None:
    said = content(sample("red_team"))
    orders = {**said["computed"]["sets"], **said["computed"]["without_criterion"]}
    others = {name for name, order in orders.items() if order["leader"] != said["computed"]["leader"]}
    attacks = [each["text"] + each.get("who", "") for each in said["dissent"]["dissent"]]
    assert others == {"of_operator", "emissions", "running_cost"}
    named = [*said["objectives"]["objectives"], *said["weights"]["sets"]]
    names = {each["id"]: each["name"] for each in named}
    assert all(any(names[each] in attack for attack in attacks) for each in others)


def test_the_ten_steps_come_in_their_order_with_three_gates() -> None:
    model = (BPMN / "dadm" / "dadm.bpmn").read_text("utf-8")
    numbered = [int(number) for number in re.findall(r'<bpmn:serviceTask [^>]*name="(\d+) ', model)]
    assert list(dict.fromkeys(numbered)) == list(range(1, 11))
    assert numbered == sorted(numbered)
    assert re.findall(r'<bpmn:userTask [^>]*name="Gate (\d)', model) == ["1", "2", "3"]


def test_what_is_uncertain_is_named_and_what_is_improved_takes_it_away() -> None:
    instance = Deciding("dadm")
    computed = dict[str, Any]()
    for step in WAYS["dadm"]:
        instance.take(activities("dadm")[step])
        if activities("dadm")[step].is_record:
            computed[step] = content(instance)["computed"]
    [before, impact, after] = (computed[step] for step in ("synthesise", "impact", "trade_offs"))
    assert (before["leader"], before["information"]) == ("deep_well", {})
    assert impact["first_share"] < before["first_share"] < after["first_share"]
    assert impact["information"]["dry_years"] > after["information"]["dry_years"]
    assert after["leader"] == "well_and_link"
    assert {each["kind"] for each in impact["findings"]} >= {"lead_within_uncertainty", "flips"}
    assert {each["kind"] for each in after["findings"]} == {"limit_broken"}
    assert len(content(instance)["scores"]) == 3, "who scores again takes the place of what that judge said before"
