"""The four steps of the sample decision, each worked out from what the earlier answers of the conversation say."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from worker.demo.model import drones, objects
from worker.demo.model import markdown as md
from worker.demo.model.weighing import Table, swap, weighted

Inputs = Mapping[str, str]
Said = Sequence[str]

OBJECTIVES, LIMITS, STAKEHOLDERS, UNCERTAINTIES = "Objectives", "Hard limits", "Stakeholders", "Uncertainties"
ALTERNATIVES, CHECKED = "Alternatives", "Against the hard limits"
CONSEQUENCES, RANGES, SUMS, SENSITIVITY = "Consequences", "Ranges", "Weighted sums", "Sensitivity"

AT_MOST: Final = "at most "
"""Stands before the budget in the hard limits."""

MATTERS: Final = "matters"
NOT_RANKED: Final = "kept for comparison, and not ranked"
"""Ends the line of an alternative that breaks a hard limit."""


def frame(inputs: Inputs, _said: Said) -> str:
    """Step 1: decision, objectives, hard limits, stakeholders and uncertainties, out of the inputs."""
    objectives = _objectives(_list(inputs, "requirements"))
    cared_for = {
        who["who"]: ", then ".join(_cared_for(str(who.get("wants")), objectives)) or "none of the objectives"
        for who in _list(inputs, "stakeholders")
        if isinstance(who, dict) and "who" in who
    }
    uncertainties = {
        name: f"touches {each.touches}; {each.unknown}; reduced by {each.cure}"
        for name, each in drones.UNCERTAINTIES.items()
    }
    return md.page(
        f"**Decision**: {inputs.get('decision', 'Which drones to buy?')} Left for later: the daily duty roster.",
        md.section(OBJECTIVES, md.bullets(objectives)),
        md.section(LIMITS, md.bullets(_limits(inputs))),
        md.section(STAKEHOLDERS, md.bullets(cared_for)),
        md.section(UNCERTAINTIES, md.bullets(uncertainties)),
    )


def _objectives(requirements: Sequence[Any]) -> dict[str, str]:
    """The objectives that a requirement stands behind, and the cost; all of them where nothing is required."""
    needs = {f"{need.get('name')} {need.get('need')}".lower(): need for need in requirements if isinstance(need, dict)}
    found = {}
    for objective in drones.OBJECTIVES:
        need = next((need for text, need in needs.items() if objective.required in text), None)
        if need or not needs:
            asked = f" (asked for: {need.get('need')})" if need and objective.required else ""
            found[objective.name] = f"{objective.measure}; {'less' if objective.less else 'more'} is better{asked}"
    return found


def _limits(inputs: Inputs) -> dict[str, str]:
    """What must be, of the requirements, and the constraints by short names."""
    musts = [need for need in _list(inputs, "requirements") if isinstance(need, dict) and need.get("must")]
    limits = {str(need.get("name")): str(need.get("need")) for need in musts}
    for constraint in map(str, _list(inputs, "constraints")):
        name = next((name for word, name in drones.LIMIT_NAMES.items() if word in constraint.lower()), None)
        limits[name or " ".join(constraint.split()[:3])] = constraint.removeprefix(f"{name}: ")
    if budget := _money(inputs.get("budget_usd", "")):
        limits["Budget"] = f"{AT_MOST}{budget:,} $ for purchase, training and three years of operation"
    return limits


def _list(inputs: Inputs, name: str) -> list[Any]:
    """An input that should be a JSON list; anything else is an empty one."""
    return objects.read(inputs.get(name, ""), list)


def _cared_for(wants: str, objectives: Iterable[str]) -> list[str]:
    """The two objectives that a stakeholder speaks of first."""
    places = {}
    for objective in drones.named(objectives):
        if found := re.search(rf"\b({'|'.join(objective.wanted)})", wants, re.IGNORECASE):
            places[objective.name] = found.start()
    return sorted(places, key=places.__getitem__)[:2]


def find_alternatives(_inputs: Inputs, said: Said) -> str:
    """Step 2: alternatives for the objectives of the frame, within its hard limits."""
    framed = md.latest(said, OBJECTIVES) or ""
    objectives = drones.named(md.read(framed, OBJECTIVES))
    if not objectives:
        return _missing("frame", "there are no objectives to find alternatives for")
    limits = md.read(framed, LIMITS)
    budget = _money(limits.get("Budget", "").partition(AT_MOST)[2])
    fitting = [each for each in drones.ALTERNATIVES if budget is None or drones.cost(each.parts) <= budget]
    ranks = Table.of(fitting, objectives).scores
    found = {
        each.name: f"{_listed(each.parts)}; flown by {each.flown_by}; {drones.cost(each.parts):,} $ in all, ±10 %;"
        f" serves {_extreme(ranks[each.name], max)} best and {_extreme(ranks[each.name], min)} worst"
        for each in fitting
    }
    return md.page(
        f"Taken from the frame: {len(objectives)} objectives ({', '.join(o.name for o in objectives)})"
        f" and {len(limits)} hard limits.",
        md.section("Ideas, one objective at a time", md.bullets({o.name: o.idea for o in objectives})),
        md.section(ALTERNATIVES, md.bullets(found)),
        md.section(CHECKED, "\n".join(_checks(fitting, limits))),
    )


def _checks(fitting: Sequence[drones.Alternative], limits: Mapping[str, str]) -> Iterable[str]:
    for each in fitting:
        limit, text = each.condition
        if limit in limits:
            yield f"- {each.name} passes **{limit}** only {text}."
        if broken := [f"**{name}**" for name in each.breaks if name in limits]:
            yield f"- {each.name} breaks {' and '.join(broken)}: {NOT_RANKED}."
    scout, limit = drones.SCOUT
    if limit in limits:
        yield f"- Left out: {scout}, break **{limit}** ({limits[limit]})."
    for each in drones.ALTERNATIVES:
        if each not in fitting:
            yield f"- Left out: {each.name}, costs more than **Budget**."
    yield f"- Looked at all of them: {', '.join(limits) or 'the frame has none'}."


def _listed(parts: drones.Parts) -> str:
    return ", ".join(f"{count} x {item}" for item, count in parts.items()) or "nothing new"


def _extreme(scores: Mapping[str, float], pick: Callable[..., str]) -> str:
    return pick(scores, key=scores.__getitem__)


def evaluate(_inputs: Inputs, said: Said) -> str:
    """Step 3: the alternatives of the earlier answer, scored by the objectives of the frame."""
    framed = md.latest(said, OBJECTIVES) or ""
    objectives = drones.named(md.read(framed, OBJECTIVES))
    found = md.latest(said, ALTERNATIVES) or ""
    names = md.read(found, ALTERNATIVES)
    if not objectives:
        return _missing("frame", "there are no objectives to score by")
    if not names:
        return _missing("list of alternatives", "there is nothing to evaluate")
    every = Table.of([each for each in drones.ALTERNATIVES if each.name in names], objectives)
    dominated = every.dominated()
    broken = [name for name in names for line in md.lines(found, CHECKED) if name in line and NOT_RANKED in line]
    points = _points(framed, [objective.name for objective in objectives])
    weights = _shares(points)
    trial = _Trial(every, weights, [name for name in names if name not in {*dominated, *broken}])
    unranked = [name for name in broken if name not in dominated]
    doubts = {
        name: drones.UNCERTAINTIES[name] for name in md.read(framed, UNCERTAINTIES) if name in drones.UNCERTAINTIES
    }
    return md.page(
        f"The {len(names)} alternatives found, by the {len(objectives)} objectives of the frame.",
        md.section(
            CONSEQUENCES, md.grid(["", *weights], [[name, *row.values()] for name, row in every.values.items()])
        ),
        f"Dominated and struck out: {', '.join(dominated) or 'none'}.",
        md.section(
            "Weights",
            "2 points for the objective that a stakeholder of the frame cares for most, 1 for the next: "
            + ", ".join(f"{name} {count}" for name, count in points.items())
            + f"; {sum(points.values())} points scaled to 100.",
        ),
        md.section(SUMS, _sums(trial, unranked)),
        "Scores run from 0 (worst value of a column) to 100 (best); a sum is weight times score / 100, added up.",
        md.section(RANGES, _ranges(every, doubts)),
        md.section(SENSITIVITY, _sensitivity(trial, doubts)),
    )


def _points(framed: str, objectives: Iterable[str]) -> dict[str, int]:
    points = dict.fromkeys(objectives, 0)
    for cared in md.read(framed, STAKEHOLDERS).values():
        for name, worth in zip(cared.split(", then "), (2, 1), strict=False):
            if name in points:
                points[name] += worth
    return points if any(points.values()) else dict.fromkeys(points, 1)


def _shares(points: Mapping[str, int]) -> dict[str, int]:
    """Scales points to 100; what rounding down leaves over goes to the largest remainders."""
    total = sum(points.values())
    shares = {name: count * 100 // total for name, count in points.items()}
    behind = sorted(points, key=lambda name: points[name] * 100 % total, reverse=True)
    for name in behind[: 100 - sum(shares.values())]:
        shares[name] += 1
    return shares


@dataclass(frozen=True, slots=True)
class _Trial:
    """A table with weights that add up to 100, and the alternatives in it that are ranked."""

    table: Table
    weights: Mapping[str, int]
    ranked: Sequence[str]

    def ranking(self, objective: str = "", changed: Mapping[str, float] | None = None) -> dict[str, float]:
        """The sums, best first, with other values of one objective."""
        values = {name: {objective: value} for name, value in (changed or {}).items()}
        return self.table.ranking(self.weights, self.ranked, values)


def _sums(trial: _Trial, unranked: Sequence[str]) -> str:
    weights, scores = trial.weights, trial.table.scores
    ranks = [(name, str(rank)) for rank, name in enumerate(trial.ranking(), 1)] + [(name, "-") for name in unranked]
    rows = [
        [name, *(f"{score:.1f}" for score in scores[name].values()), f"{weighted(weights, scores[name]):.1f}", rank]
        for name, rank in ranks
    ]
    return md.grid(["", *weights, "Sum", "Rank"], [["Weight", *weights.values(), sum(weights.values()), ""], *rows])


def _ranges(table: Table, doubts: Mapping[str, drones.Uncertainty]) -> str:
    rows = [
        [name, doubt.touches, alternative, table.values[alternative][doubt.touches], worst]
        for name, doubt in doubts.items()
        for alternative, worst in doubt.worst.items()
        if alternative in table.values and doubt.touches in table.less
    ]
    return md.grid(["Uncertainty", "Touches", "Alternative", "As scored", "At worst"], rows) if rows else "- None."


def _sensitivity(trial: _Trial, doubts: Mapping[str, drones.Uncertainty]) -> str:
    ranking = trial.ranking()
    if len(ranking) < 2:  # noqa: PLR2004 - it takes two to swap
        return "- There is only one alternative."
    first, second, *_ = ranking
    weights, scores = trial.weights, trial.table.scores
    found = swap(weights, scores[first], scores[second])
    lines = ["- No single weight, however changed, would put another alternative first."]
    if found:
        name, weight = found
        change = f"the weight of {name} went from {weights[name]} to {weight:.1f}, the others changing in proportion"
        lines = [f"- If {change}, {second} would draw level with {first}."]
    for name, doubt in doubts.items():
        if doubt.touches in weights:
            lines.append(_verdict_on(name, first, trial.ranking(doubt.touches, doubt.worst)))
    return "\n".join(lines)


def _verdict_on(name: str, first: str, at_worst: Mapping[str, float]) -> str:
    """Whether an uncertainty matters: whether at its worst another alternative leads."""
    leader, second, *_ = at_worst
    if leader == first:
        return (
            f"- **{name}** does not matter: at worst {first} still leads, with {at_worst[first]:.1f} against "
            f"{at_worst[second]:.1f} points for {second}."
        )
    return (
        f"- **{name}** {MATTERS}: at worst {leader} leads, with {at_worst[leader]:.1f} against "
        f"{at_worst[first]:.1f} points for {first}."
    )


def recommend(inputs: Inputs, said: Said) -> str:
    """Step 4: the best alternative of the evaluation that the budget in the question's inputs pays for."""
    framed, evaluated = md.latest(said, OBJECTIVES) or "", md.latest(said, SUMS) or ""
    listed = md.read(md.latest(said, ALTERNATIVES) or "", ALTERNATIVES)
    doubts = md.read(framed, UNCERTAINTIES)
    weights, scores, sums = _evaluated(evaluated)
    if not sums:
        return _missing("evaluation", "there is nothing to recommend")
    parts = {name: _parts(listed.get(name, "")) for name in sums}
    costs = {name: drones.cost(parts[name]) for name in sums}
    budget = _money(inputs.get("budget_usd", ""))
    affordable = [name for name in sums if budget is None or costs[name] <= budget]
    if not affordable:
        return f"**Recommendation**: none; not one of the {len(sums)} that were ranked fits into {budget:,} $."
    best, *others = affordable
    swap_line, *verdicts = md.lines(evaluated, SENSITIVITY)
    mattering = {name: line for line in verdicts for name in doubts if line.startswith(f"- **{name}** {MATTERS}")}
    order = [*mattering, *(name for name in doubts if name not in mattering)]
    return md.page(
        _verdict(best, sums, costs, budget),
        md.section("Reasons", _reasons(weights, scores[best], sums[best])),
        md.section("Given up", _given_up(scores, best, others, md.read(framed, STAKEHOLDERS))),
        md.section("Budget", _spending(parts[best], budget)),
        md.section("What would change this", "\n".join([swap_line, *mattering.values()])),
        md.section("Next steps", "\n".join(f"{n}. {step}" for n, step in enumerate(_NEXT, 1))),
        md.section("To be checked before signing", md.bullets({name: doubts[name] for name in order})),
    )


def _evaluated(text: str) -> tuple[dict[str, int], dict[str, dict[str, float]], dict[str, str]]:
    """Weights, scores and sums of what an evaluation ranks, best alternative first; nothing where there is none."""
    header, weighting, *rows = md.rows(text, SUMS) or [[], []]
    names = header[1:-2]
    weights = dict(zip(names, map(int, weighting[1:-2]), strict=True))
    ranked = [row for row in rows if row[-1].isdigit()]
    scores = {row[0]: dict(zip(names, map(float, row[1:-2]), strict=True)) for row in ranked}
    return weights, scores, {row[0]: row[-2] for row in ranked}


_NEXT: Final = (
    "Emergency manager: have the grant office confirm the origin of every component, within 2 weeks.",
    "Sheriff's office: apply for the certificate of authorization and night training, within 4 weeks.",
    "Fire and rescue: fly the two finalists in wind, rain and the two worst valleys, within 8 weeks.",
    "County board: decide and sign, before the fiscal year ends.",
)


def _verdict(best: str, sums: Mapping[str, str], costs: Mapping[str, int], budget: int | None) -> str:
    first = next(iter(sums))
    against = f"of a budget of {budget:,} $" if budget is not None else "(no budget was given in this question)"
    lines = [f"**Recommendation**: {best}, {sums[best]} points in the evaluation, for {costs[best]:,} $ {against}."]
    if best != first:
        lines.append(f"{first} has more points ({sums[first]}), but costs {costs[first]:,} $.")
    return " ".join(lines)


def _reasons(weights: Mapping[str, int], scores: Mapping[str, float], total: str) -> str:
    worth = {name: weights[name] * points / 100 for name, points in scores.items()}
    return "\n".join(
        f"- **{name}**: {scores[name]} of 100 at weight {weights[name]} gives {worth[name]:.1f} of the {total} points."
        for name in sorted(worth, key=worth.__getitem__, reverse=True)[:3]
    )


def _given_up(
    scores: Mapping[str, Mapping[str, float]], best: str, others: Sequence[str], stakeholders: Mapping[str, str]
) -> str:
    if not others:
        return "- There is no second alternative within the budget."
    lines = []
    for name, points in scores[others[0]].items():
        if points > scores[best][name]:
            bearing = ", ".join(who for who, cared in stakeholders.items() if name in cared) or "nobody in the frame"
            lines.append(f"- **{name}**: {scores[best][name]} points, {others[0]} {points}; borne by {bearing}.")
    return "\n".join(lines) or f"- Nothing: {others[0]} is better on no objective."


def _spending(parts: drones.Parts, budget: int | None) -> str:
    rows: list[list[object]] = [
        [item, n, f"{drones.PRICES[item]:,} $", f"{n * drones.PRICES[item]:,} $"] for item, n in parts.items()
    ]
    total, running = drones.cost(parts), drones.operation(parts)
    name = f"operation, {drones.OPERATION_PERCENT} % of the equipment a year"
    rows.append([name, f"{drones.YEARS} years", f"{running // drones.YEARS:,} $", f"{running:,} $"])
    rows.append(["**Total**", "", "", f"{total:,} $"])
    if budget is not None:
        rows += [["**Reserve**", "", "", f"{budget - total:,} $"], ["**Budget**", "", "", f"{budget:,} $"]]
    return md.grid(["Item", "Quantity", "Each", "Cost"], rows)


def _parts(text: str) -> dict[str, int]:
    """The parts of an alternative as an earlier answer lists them."""
    found = re.findall(r"(\d+) x ([\w ]+)", text.partition(";")[0])
    return {item: int(count) for count, item in found if item in drones.PRICES}


def _money(text: str) -> int | None:
    """The first amount in a text, `2000000` or `2,000,000 $`."""
    found = re.search(r"\d[\d,]*", text)
    return int(found[0].replace(",", "")) if found else None


def _missing(what: str, consequence: str) -> str:
    return f"No {what} was given in this conversation, so {consequence}. Ask for it first, on this same thread."
