"""Every sum, weight, limit and rank in the scripted answers to the samples, worked out again from what is beside it."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.scripted import (
    BPMN,
    activities,
    answers_of,
    entries,
    number,
    numbers,
    played,
    section,
    start_variables,
    table,
    with_another_figure,
)

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


def of_parallel_analysis(answers: Answers) -> Iterator[str]:
    """Name each figure of the sample analysis that does not follow from others, and each limit that is broken."""
    variables = start_variables("parallel_analysis")
    budget = variables["budget_eur"].value / 1e6
    figures = {row[0]: [number(cell) for cell in row[1:]] for row in table(answers["estimate_money"], "Figures")[1:]}
    for name, (investment, cost, income, net) in figures.items():
        yield from differs(f"net of {name}", net, near(investment + 10 * (cost - income)))
    yield from _technical(answers)
    yield from _business(answers["judge_business_case"], figures, budget)
    yield from _risks(answers["find_risks"], answers["answer_risks"])
    together = table(answers["reconcile"], "With all conditions")[1:]
    for name, *conditions, spent, balance, _ in together:
        price = sum(number(text.rpartition("; ")[2]) for text in conditions)
        yield from differs(
            f"{name} in all",
            [number(spent), number(balance)],
            [near(figures[name][place] + price) for place in (0, -1)],
        )
        views = ("judge_feasibility", "judge_business_case", "answer_risks")
        yield from differs(
            f"conditions of {name}", conditions, [entries(answers[view], "Conditions")[name] for view in views]
        )
    yield from differs("ranks", [row[-1] for row in together], ["1", "2", "3"])
    yield from differs(
        "order", [row[0] for row in together], [row[0] for row in sorted(together, key=lambda row: number(row[-2]))]
    )
    sums = {row[0]: [number(cell) for cell in row[-3:-1]] for row in together}
    yield from _within(answers, sums, budget)


def _technical(answers: Answers) -> Iterator[str]:
    volume = number(entries(answers["set_up"], "Common figures")["Volume"])
    for name, text in entries(answers["examine_technology"], "Capacity").items():
        capacity, percent = numbers(text)
        yield from differs(f"room of {name}", percent, round(100 * capacity / volume - 100))
    header, *rows = table(answers["examine_technology"], "Requirements")
    met = {name: [row[place] for row in rows].count("met") for place, name in enumerate(header) if name}
    ranking = entries(answers["judge_feasibility"], "Ranking")
    yield from differs("most feasible", [met[name] for name in ranking], sorted(met.values(), reverse=True))
    months = {
        name: number(text.rpartition("; ")[2]) for name, text in entries(answers["examine_technology"], "Build").items()
    }
    for name, text in ranking.items():
        yield from differs(f"months of {name}", numbers(text), [len(rows) - met[name], months[name]])
    for line in section(answers["judge_feasibility"], "Besides").splitlines()[:-1]:
        name = next(name for name in months if name in line)
        limit, needed, rest = numbers(line)
        yield from differs(
            f"supply by {name}", [needed, rest, "late" in line], [months[name], abs(limit - needed), needed > limit]
        )
        yield from differs("months of support", limit, number(entries(answers["set_up"], "Common figures")["Time"]))


def _business(verdict: str, figures: Mapping[str, list[float]], budget: float) -> Iterator[str]:
    ranking = entries(verdict, "Ranking")
    yield from differs("cheapest", [*ranking], sorted(figures, key=lambda name: figures[name][-1]))
    yield from differs(
        "nets", [numbers(text) for text in ranking.values()], [[figures[name][-1], 10] for name in ranking]
    )
    first, second, *_ = ranking
    *left, level, lead, limit = section(verdict, "Besides").strip().splitlines()
    for line in left:
        name = line.removeprefix("- ").partition(":")[0]
        yield from differs(f"left by {name}", numbers(line), [figures[name][0], near(budget - figures[name][0])])
    more_income = figures[second][2] - figures[first][2]
    percent = 100 * (figures[second][-1] - figures[first][-1]) / (10 * more_income)
    yield from differs("level", number(level), pytest.approx(percent, abs=0.05))
    behind, net = figures[second][-1] - figures[first][-1], figures[first][-1]
    yield from differs("lead", numbers(lead), [near(behind), pytest.approx(net / 10, abs=0.05), 10])
    yield from differs("certain", "not certain" in lead, behind < net / 10)
    yield from differs("budget", number(limit), budget)


def _risks(found: str, answered: str) -> Iterator[str]:
    rows = table(found, "Register")[1:]
    for name, _, likelihood, impact, product in rows:
        yield from differs(f"product of {name}", number(product), number(likelihood) * number(impact))
    left = {row[0]: number(row[-1]) for row in rows}
    for name, text in entries(answered, "Besides").items():
        yield from differs(f"{name} before", numbers(text)[0], left[name])
        left[name] = numbers(text)[1]
    for option, text in entries(answered, "Ranking").items():
        own = {name: left[name] for name, belongs, *_ in rows if belongs in {option, "every option"}}
        yield from differs(f"left to {option}", number(text), max(own.values()))
        yield from differs(
            f"named for {option}", [name in text for name in own], [each == max(own.values()) for each in own.values()]
        )
    places = [number(text) for text in entries(answered, "Ranking").values()]
    yield from differs("safest", places, sorted(places))


def _within(answers: Answers, sums: Mapping[str, list[float]], budget: float) -> Iterator[str]:
    candidates, beyond = (
        entries(answers["reconcile"], name) for name in ("All three can live with", "Beyond the budget")
    )
    yield from differs("candidates", [*candidates], [name for name, (spent, _) in sums.items() if spent <= budget][:2])
    yield from differs("beyond", [*beyond], [name for name, (spent, _) in sums.items() if spent > budget])
    yield from differs(
        "candidates' sums", [numbers(text) for text in candidates.values()], [sums[name] for name in candidates]
    )
    for name, text in beyond.items():
        yield from differs(
            f"{name} beyond", numbers(text), [sums[name][0], near(sums[name][0] - budget), sums[name][1]]
        )
    best = next(iter(candidates))
    course = answers["recommend_course"]
    money = {row[0]: number(row[1]) for row in table(course, "Money")[1:]}
    wanted = {
        "Investment with all conditions": sums[best][0],
        "Reserve": near(budget - sums[best][0]),
        "Budget": budget,
    }
    yield from differs("money", money, {**wanted, "Net over 10 years with all conditions": sums[best][1]})
    yield from differs(
        "verdict", [best in course.partition("\n")[0], numbers(course.partition("\n")[0])], [True, sums[best]]
    )
    yield from differs("paper", table(answers["write_white_paper"], "What it costs"), table(course, "Money"))
    for step, heading in (
        ("reconcile", "Conflicts"),
        ("recommend_course", "For it"),
        ("write_white_paper", "What was found"),
    ):
        if re.search("net over 10 years(?!, before conditions)", section(answers[step], heading)):
            yield f"{step}: a sum without its conditions is not called one"


def of_procurement(answers: Answers) -> Iterator[str]:
    """Name each figure of the sample procurement that does not follow from offers and requirements."""
    variables = start_variables("procurement")
    needs: list[dict[str, Any]] = json.loads(variables["requirements"].value)
    offers = {each["supplier"]: each for name in ("offer_a", "offer_b") for each in [json.loads(variables[name].value)]}
    weights = {name: number(text) for name, text in entries(answers["criteria"], "Weights").items()}
    wishes = [each["name"] for each in needs if not each["must"]]
    yield from differs("criteria", [*weights], ["Price", *wishes])
    yield from differs("hundred", sum(weights.values()), 100)
    header, *rows = table(answers["compare"], "Points")
    *criteria, summed, ranked = rows
    for column, name in enumerate(header[2:], 2):
        met = {each["name"]: _meets(each, offers[name]) for each in needs}
        lowest = min(each["price_eur"] for each in offers.values())
        share = {"Price": lowest / offers[name]["price_eur"]} | {wish: float(met[wish] == "met") for wish in wishes}
        for row in criteria:
            yield from differs(f"weight of {row[0]}", number(row[1]), weights[row[0]])
            yield from differs(f"{name}: {row[0]}", row[column], f"{weights[row[0]] * share[row[0]]:.1f}")
        exact, shown = (
            sum(weights[each] * share[each] for each in weights),
            sum(number(row[column]) for row in criteria),
        )
        yield from differs(f"sum of {name}", [summed[column]] * 2, [f"{exact:.1f}", f"{shown:.1f}"])
        said = [number(summed[column]), offers[name]["price_eur"]]
        yield from differs(
            f"{name} in short",
            [numbers(entries(answers[step], "Sums")[name]) for step in ("compare", "propose")],
            [said, said],
        )
        for step in ("check a", "check b"):
            if name in answers[step]:
                yield from differs(f"{name} judged", {row[0]: row[3] for row in table(answers[step], "Check")[1:]}, met)
        reserved = [each for each, verdict in met.items() if verdict == "met on a condition"]
        yield from differs(
            f"knock-out by {name}",
            [each in entries(answers["compare"], "Knock-out criteria")[name] for each in reserved],
            [True] * len(reserved),
        )
    sums = {name: number(each) for name, each in zip(header[2:], summed[2:], strict=True)}
    order = sorted(sums, key=lambda name: -sums[name])
    yield from differs("weights' sum", number(summed[1]), 100)
    yield from differs("ranks", [number(each) for each in ranked[2:]], [order.index(name) + 1 for name in sums])
    yield from differs(
        "ahead",
        numbers(section(answers["compare"], "What would swap the order"))[0],
        near(sums[order[0]] - sums[order[1]]),
    )
    yield from _award(
        answers["propose"],
        order[0],
        offers[order[0]]["price_eur"],
        variables["estimate_eur"].value,
        {each["name"] for each in needs if each["must"]},
    )


def _award(proposal: str, best: str, price: float, estimate: float, musts: set[str]) -> Iterator[str]:
    verdict = proposal.partition("\n")[0]
    yield from differs("award", f"award to {best} for" in verdict, True)
    yield from differs("distance", numbers(verdict), [price, abs(price - estimate)])
    yield from differs("above", "above the estimate" in verdict, price > estimate)
    yield from differs("musts", entries(proposal, "To be settled in writing").keys() <= musts, True)


def _meets(need: Mapping[str, Any], offer: Mapping[str, Any]) -> str:
    value = offer[need["field"]]
    if value < need.get("at_least", value) or value > need.get("at_most", value):
        return "not met"
    return "met on a condition" if any(need["name"] in text for text in offer["reservations"]) else "met"


def of_approval(answers: Answers) -> Iterator[str]:
    """Name each figure of the sample grant that does not follow from request and rules."""
    variables = start_variables("approval")
    request, rules = (json.loads(variables[name].value) for name in ("request", "grant_rules"))
    budget = json.loads(answers["assess"])["budget"]
    costs = {each["item"]: each["cost_eur"] for each in request["items"]}
    kinds = {each["item"]: each["kind"] in rules["eligible_kinds"] for each in request["items"]}
    yield from differs("requested", budget["requested_eur"], sum(costs.values()))
    for each in budget["items"]:
        yield from differs(each["item"], each["eligible_eur"], costs[each["item"]] * kinds[each["item"]])
    eligible = sum(each["eligible_eur"] for each in budget["items"])
    yield from differs("own share", budget["own_share_eur"], eligible * rules["own_share_percent"] // 100)
    yield from differs("ceiling", budget["ceiling_eur"], rules["ceiling_eur"])
    yield from differs(
        "eligible", budget["eligible_eur"], min(eligible - budget["own_share_eur"], budget["ceiling_eur"])
    )
    reason = json.loads(answers["assess"])["reasons"][1]
    yield from differs("reason", numbers(reason), [eligible, budget["requested_eur"], budget["own_share_eur"]])
    yield from differs("letter", numbers(answers["letter"])[:2], [budget["eligible_eur"], budget["requested_eur"]])


def of_decision_frame(answers: Answers) -> Iterator[str]:
    """Name what in the sample frame contradicts itself."""
    frame = json.loads(answers["write_frame"])
    yield from differs("ready", frame["ready"], not frame["open_points"])
    begun, years, done = numbers(frame["deadline"])
    yield from differs("deadline", begun, done - years)
    budget = start_variables("decision_frame")["budget_meur"].value
    yield from differs("budget", numbers(frame["statement"].partition("for at most")[2]), [budget])


def of_quick_decision(answers: Answers) -> Iterator[str]:
    """Name each figure of the sample quick decision that does not follow from priorities, values and scales."""
    variables = start_variables("quick_decision")
    framed, weighed, recommended = (json.loads(answers[step]) for step in ("frame", "weigh", "recommend"))
    priorities = {each["name"]: each["points"] for each in json.loads(variables["priorities"].value)}
    criteria = {each["name"]: each for each in framed["criteria"]}
    weights = {name: each["weight"] for name, each in criteria.items()}
    wanted = {name: 100 * points / sum(priorities.values()) for name, points in priorities.items()}
    yield from differs("weights", weights, wanted)
    budget = variables["budget_eur"].value
    found = {each["name"]: each for each in weighed["alternatives"]}
    sums = {}
    for way in framed["alternatives"]:
        name, values = way["name"], {each["criterion"]: each["value"] for each in way["values"]}
        points = {each: _on_scale(criteria[each], value) for each, value in values.items()}
        shown = {each["criterion"]: each["points"] for each in found[name]["points"]}
        yield from differs(f"points of {name}", shown, {each: round(value, 1) for each, value in points.items()})
        totals = [round(weighted(weights, each), 1) for each in (points, shown)]
        yield from differs(f"sum of {name}", [found[name]["sum"]] * 2, totals)
        yield from differs(f"limit of {name}", bool(way["breaks"]), values[COST] > budget)
        yield from differs(f"reason of {name}", found[name]["why_not"], way["breaks"])
        if way["breaks"]:
            yield from differs(f"excess of {name}", numbers(way["breaks"]), [values[COST], values[COST] - budget])
        else:
            sums[name] = weighted(weights, points)
    order = sorted(sums, key=lambda name: -sums[name])
    yield from differs(
        "ranks",
        {name: each["rank"] for name, each in found.items()},
        dict.fromkeys(found) | {name: rank for rank, name in enumerate(order, 1)},
    )
    yield from _page(weighed, recommended, weights, order)


def _on_scale(criterion: Mapping[str, Any], value: float) -> float:
    return float(100 * (value - criterion["at_zero"]) / (criterion["at_hundred"] - criterion["at_zero"]))


def _page(weighed: Any, recommended: Any, weights: Row, order: list[str]) -> Iterator[str]:
    """Name what the page that is signed says otherwise than the weighing."""
    first, second = (
        {each["criterion"]: each["points"] for each in way["points"]} for way in weighed["alternatives"][:2]
    )
    swap = re.search(r"weight of ([\d.]+) for (.+), not (\d+), (.+) would draw level with (.+)\.", weighed["turns_if"])
    assert swap
    moved, name = float(swap[1]), swap[2]
    rest = (100 - moved) / (100 - weights[name])
    changed = {each: moved if each == name else weight * rest for each, weight in weights.items()}
    yield from differs("swap", weighted(changed, first), pytest.approx(weighted(changed, second), abs=0.05))
    yield from differs("rivals", [swap[4], swap[5], float(swap[3])], [order[1], order[0], weights[name]])
    yield from differs("turn", recommended["turns_if"], weighed["turns_if"])
    sums = [each["sum"] for each in weighed["alternatives"][:2]]
    yield from differs(
        "recommended", [recommended["alternative"], numbers(recommended["because"][0])], [order[0], sums]
    )
    for reason in recommended["because"][1:]:
        criterion = reason.partition(":")[0]
        yield from differs(reason, numbers(reason), [first[criterion], 100, weights[criterion]])
    lost = [each for name in first if second[name] > first[name] for each in (first[name], second[name])]
    yield from differs("given up", numbers(recommended["given_up"]), lost)
    cost, budget = numbers(recommended["sentence"])
    yield from differs("cost", cost <= budget == start_variables("quick_decision")["budget_eur"].value, True)


def near(value: float) -> Any:
    """As exact as what is written with one decimal."""
    return pytest.approx(value, abs=1e-6)


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
    "parallel_analysis": of_parallel_analysis,
    "procurement": of_procurement,
    "approval": of_approval,
    "decision_frame": of_decision_frame,
    "quick_decision": of_quick_decision,
}
"""For each process what its figures have to agree with."""


@pytest.mark.parametrize("process", FIGURES)
def test_every_figure_of_a_sample_follows_from_those_that_it_is_said_to_follow_from(process: str) -> None:
    assert list(FIGURES[process](answers_of(process))) == []


CHECKED = {
    ("decision", "evaluate"): ["Consequences", "Weighted sums", "Sensitivity"],
    ("decision", "recommend"): ["Reasons", "Given up", "Budget"],
    ("parallel_analysis", "judge_feasibility"): ["Ranking", "Besides"],
    ("parallel_analysis", "estimate_money"): ["Figures"],
    ("parallel_analysis", "judge_business_case"): ["Ranking", "Besides"],
    ("parallel_analysis", "answer_risks"): ["Ranking"],
    ("parallel_analysis", "reconcile"): ["With all conditions", "All three can live with", "Beyond the budget"],
    ("parallel_analysis", "recommend_course"): ["Money"],
    ("parallel_analysis", "write_white_paper"): ["What it costs"],
    ("procurement", "compare"): ["Points", "Sums"],
    ("procurement", "propose"): ["Sums"],
}
"""Sections that hold nothing but such figures."""


@pytest.mark.parametrize(
    ("process", "step", "heading"), [(*where, heading) for where, headings in CHECKED.items() for heading in headings]
)
def test_any_other_figure_there_would_be_noticed(process: str, step: str, heading: str) -> None:
    answers = answers_of(process)
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


def test_any_other_sum_of_the_sample_grant_would_be_noticed() -> None:
    answers = answers_of("approval")
    for name in ("requested_eur", "own_share_eur", "ceiling_eur", "eligible_eur"):
        assessment = json.loads(answers["assess"])
        assessment["budget"][name] += 1
        assert list(of_approval({**answers, "assess": json.dumps(assessment)})), name
    assessment = json.loads(answers["assess"])
    for item in assessment["budget"]["items"]:
        item["eligible_eur"] += 1
        assert list(of_approval({**answers, "assess": json.dumps(assessment)})), item
        item["eligible_eur"] -= 1


@pytest.mark.parametrize("name", ["sum", "rank", "points"])
def test_any_other_figure_of_the_sample_quick_decision_would_be_noticed(name: str) -> None:
    answers = answers_of("quick_decision")
    for number_of in range(4):
        weighed = json.loads(answers["weigh"])
        there = weighed["alternatives"][number_of]
        there = there["points"][0] if name == "points" else there
        there[name] = (there[name] or 0) + 1
        assert list(of_quick_decision({**answers, "weigh": json.dumps(weighed)})), weighed["alternatives"][number_of]


def test_the_answers_of_the_quick_decision_fit_their_schemas() -> None:
    for step, activity in activities("quick_decision").items():
        form = json.loads((BPMN / "quick_decision" / activity.properties["data.output.schema"]).read_text("utf-8"))
        Draft202012Validator(form).validate(json.loads(answers_of("quick_decision")[step]))


@pytest.mark.parametrize(("budget", "best"), [(2500, "Cargo bikes"), (9000, "Hired van"), (100, "Patients fetch it")])
def test_the_budget_decides_what_a_quick_decision_may_recommend(budget: int, best: str) -> None:
    recommended = json.loads(played("quick_decision", budget_eur=budget)["recommend"])
    assert recommended["alternative"] == best
    assert f"of a budget of {budget:,} EUR" in recommended["sentence"]
