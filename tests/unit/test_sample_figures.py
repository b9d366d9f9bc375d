"""Every sum, weight, limit and rank in the scripted answers to the samples, worked out again from what is beside it."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests.scripted import entries, number, numbers, played, section, start_variables, table, with_another_figure

Answers = Mapping[str, str]
Row = Mapping[str, float]

COST = "Cost"
LESS = {"Night search", "Readiness", COST}


def of_decision(answers: Answers) -> Iterator[str]:
    """Name each figure of the sample decision that does not follow from others."""
    evaluation, recommendation = answers["evaluate"], answers["recommend"]
    (_, *objectives), *rows = table(evaluation, "Consequences")
    values = {row[0]: dict(zip(objectives, map(float, row[1:]), strict=True)) for row in rows}
    header, (_, *weighting, _, _), *summed = table(evaluation, "Weighted sums")
    weights = dict(zip(header[1:-2], map(float, weighting), strict=True))
    yield from _weights(evaluation, answers["frame"], weights)
    for name, *scores, total, _ in summed:
        yield from differs(
            f"scores of {name}", scores, [f"{each:.1f}" for each in scored(values, values[name]).values()]
        )
        exact = weighted(weights, scored(values, values[name]))
        shown = weighted(weights, dict(zip(weights, map(float, scores), strict=True)))
        yield from differs(f"sum of {name}", [total] * 2, [f"{exact:.1f}", f"{shown:.1f}"])
    ranking = [name for name, *_, rank in summed if rank != "-"]
    broken = re.findall(r"^- (.+) breaks .* not ranked\.$", answers["alternatives"], re.MULTILINE)
    sums = {name: weighted(weights, scored(values, values[name])) for name in values}
    yield from differs(
        "ranks", [row[-1] for row in summed], [*map(str, range(1, len(ranking) + 1)), *["-"] * len(broken)]
    )
    yield from differs("ranking", ranking, sorted(sums.keys() - broken, key=lambda name: -sums[name]))
    yield from _sensitivity(evaluation, values, weights, ranking)
    yield from _costs(answers, values)
    yield from _recommendation(recommendation, summed, weights)


def _weights(evaluation: str, frame: str, weights: Row) -> Iterator[str]:
    said = section(evaluation, "Weights").partition(": ")[2]
    points = {name: number(text) for name in weights for text in [said[said.index(f"{name} ") + len(name) :]]}
    cared = [text.split(", then ") for text in entries(frame, "Stakeholders").values()]
    wanted = {
        name: 2 * sum(each[0] == name for each in cared) + sum(each[1:] == [name] for each in cared) for name in points
    }
    yield from differs("points", points, wanted)
    yield from differs("sum of points", number(said.rpartition("; ")[2]), sum(points.values()))
    for name, weight in weights.items():
        if abs(weight - 100 * points[name] / sum(points.values())) >= 1:
            yield f"weight of {name}: {weight}"
    yield from differs("sum of weights", [number(table(evaluation, "Weighted sums")[1][-2])], [sum(weights.values())])
    yield from differs("hundred", sum(weights.values()), 100)


def _sensitivity(evaluation: str, values: Mapping[str, Row], weights: Row, ranking: list[str]) -> Iterator[str]:
    swap = re.search(
        r"the weight of (.+) went from (\d+) to ([\d.]+),.*, (.+) would draw", section(evaluation, "Sensitivity")
    )
    assert swap
    yield from differs("weight before the swap", float(swap[2]), weights[swap[1]])
    rest = (100 - float(swap[3])) / (100 - weights[swap[1]])
    moved = {name: float(swap[3]) if name == swap[1] else weight * rest for name, weight in weights.items()}
    first, second = (weighted(moved, scored(values, values[name])) for name in ranking[:2])
    if abs(first - second) > 0.1:
        yield f"swap point: {first} and {second}"
    yield from differs("rival", swap[4], ranking[1])
    ranges = table(evaluation, "Ranges")[1:]
    for _, objective, alternative, as_scored, _ in ranges:
        yield from differs(f"{alternative} as scored", float(as_scored), values[alternative][objective])
    for name, text in entries(evaluation, "Sensitivity").items():
        worst = {
            alternative: {**values[alternative], objective: float(to)}
            for each, objective, alternative, _, to in ranges
            if each == name
        }
        sums = {each: weighted(weights, scored(values, worst.get(each, values[each]))) for each in ranking}
        leader, behind = sorted(sums, key=lambda each: -sums[each])[:2]
        behind = behind if leader == ranking[0] else ranking[0]
        yield from differs(f"{name} matters", text.startswith("matters"), leader != ranking[0])
        yield from differs(f"{name} at worst", numbers(text), [round(sums[leader], 1), round(sums[behind], 1)])
        yield from differs(f"{name} names", [each in text for each in (leader, behind)], [True, True])


def _costs(answers: Answers, values: Mapping[str, Row]) -> Iterator[str]:
    recommendation = answers["recommend"]
    spent = {row[0]: number(row[3]) for row in table(recommendation, "Budget")[1:]}
    for item, quantity, each, cost in table(recommendation, "Budget")[1:-3]:
        yield from differs(f"cost of {item}", number(cost), number(quantity) * number(each))
    *items, (operation, _, a_year, _) = table(recommendation, "Budget")[1:-3]
    equipment = sum(number(row[3]) for row in items if "training" not in row[0] and "provider" not in row[0])
    yield from differs("operation", number(a_year), equipment * number(operation) / 100)
    total, reserve, budget = (spent.pop(f"**{name}**") for name in ("Total", "Reserve", "Budget"))
    yield from differs("total", total, sum(spent.values()))
    yield from differs("reserve", reserve, budget - total)
    yield from differs(
        "budget",
        [budget, number(entries(answers["frame"], "Hard limits")["Budget"])],
        [start_variables("decision")["budget_usd"].value] * 2,
    )
    for name, text in entries(answers["alternatives"], "Alternatives").items():
        dollars = number(text.partition("flown by")[2].partition(";")[2])
        yield from differs(f"cost of {name}", f"{dollars / 1e6:.2f}", f"{values[name][COST]:.2f}")
        if dollars > budget:
            yield f"{name} costs more than the budget"


def _recommendation(recommendation: str, summed: list[list[str]], weights: Row) -> Iterator[str]:
    best, *scores, total, _ = summed[0]
    second = dict(zip(weights, summed[1][1:-2], strict=True))
    verdict = recommendation.partition("\n")[0]
    spent = {row[0]: number(row[3]) for row in table(recommendation, "Budget")[1:]}
    yield from differs("recommended", f"**Recommendation**: {best}," in verdict, True)
    yield from differs("verdict", numbers(verdict), [float(total), spent["**Total**"], spent["**Budget**"]])
    own = dict(zip(weights, map(float, scores), strict=True))
    for name, text in entries(recommendation, "Reasons").items():
        worth = float(f"{own[name] * weights[name] / 100:.1f}")
        yield from differs(f"reason {name}", numbers(text), [own[name], 100, weights[name], worth, float(total)])
    given_up = {name: numbers(text) for name, text in entries(recommendation, "Given up").items()}
    yield from differs(
        "given up",
        given_up,
        {name: [own[name], float(second[name])] for name in weights if float(second[name]) > own[name]},
    )


def differs(what: str, found: Any, wanted: Any) -> Iterator[str]:
    """Say so if something is not what it should be."""
    if found != wanted:
        yield f"{what}: {found}, not {wanted}"


def scored(values: Mapping[str, Row], row: Row) -> dict[str, float]:
    """Points of a row on the scale of all of them."""
    found = {}
    for name, value in row.items():
        column = [each[name] for each in values.values()]
        worst, best = (max(column), min(column)) if name in LESS else (min(column), max(column))
        found[name] = 100 * (value - worst) / (best - worst) + 0.0
    return found


def weighted(weights: Row, scores: Row) -> float:
    return sum(weights[name] * score for name, score in scores.items()) / 100


FIGURES: Mapping[str, Callable[[Answers], Iterator[str]]] = {
    "decision": of_decision,
}
"""For each process what its figures have to agree with."""


@pytest.mark.parametrize("process", FIGURES)
def test_every_figure_of_a_sample_follows_from_those_that_it_is_said_to_follow_from(process: str) -> None:
    assert list(FIGURES[process](played(process))) == []


CHECKED = {
    "decision": {
        "evaluate": ["Consequences", "Weighted sums", "Sensitivity"],
        "recommend": ["Reasons", "Given up", "Budget"],
    },
}
"""Whose sections hold nothing but such figures."""


@pytest.mark.parametrize(
    ("process", "step", "heading"), [(p, s, h) for p, steps in CHECKED.items() for s, hs in steps.items() for h in hs]
)
def test_any_other_figure_there_would_be_noticed(process: str, step: str, heading: str) -> None:
    answers = played(process)
    there = section(answers[step], heading)
    assert numbers(there)
    unnoticed = []
    for changed, where in with_another_figure(there):
        others = {**answers, step: answers[step].replace(there, changed)}
        try:
            if not list(FIGURES[process](others)):
                unnoticed.append(where)
        except ValueError:
            pass
    assert unnoticed == []
