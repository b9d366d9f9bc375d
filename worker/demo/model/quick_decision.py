"""The three steps of the sample quick decision: a frame, a weighing and a recommendation, all of them JSON."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from worker.demo.model import objects
from worker.demo.model.weighing import swap, weighted

Inputs = Mapping[str, str]
Said = Sequence[str]
Json = dict[str, Any]

SCALES: Final = {"Same day": (0, 100), "Cost": (4000, 0), "Effort": (20, 0)}
"""For each criterion that the script knows the value that is worth nothing, and the one that is worth 100 points."""

WAYS: Final = {
    "Hired van": ("a van by the month, driven by our messengers", {"Same day": 95, "Cost": 3000, "Effort": 4}),
    "Cargo bikes": ("two hired bikes with cool boxes", {"Same day": 85, "Cost": 2200, "Effort": 10}),
    "Courier": ("a courier, paid by the parcel", {"Same day": 90, "Cost": 3800, "Effort": 1}),
    "Patients fetch it": ("nothing is brought; who can, comes by", {"Same day": 20, "Cost": 0, "Effort": 14}),
}
COST: Final = "Cost"


def frame(inputs: Inputs, _said: Said) -> str:
    """Step 1: criteria with scales out of the priorities, and what each way achieves by them."""
    priorities = [each for each in objects.read(inputs.get("priorities", ""), list) if each.get("name") in SCALES]
    total = sum(int(each["points"]) for each in priorities) or 1
    budget = int(inputs["budget_eur"]) if inputs.get("budget_eur", "").isdecimal() else None
    return objects.write(
        {
            "question": inputs.get("question", "not given"),
            "left_out": "what happens if the repair takes longer",
            "limits": [] if budget is None else [{"name": "Budget", "limit": f"at most {budget:,} EUR"}],
            "criteria": [
                {
                    "name": each["name"],
                    "measure": each["measure"],
                    "at_zero": SCALES[each["name"]][0],
                    "at_hundred": SCALES[each["name"]][1],
                    "weight": round(100 * int(each["points"]) / total),
                }
                for each in priorities
            ],
            "alternatives": [
                {
                    "name": name,
                    "what": what,
                    "values": [{"criterion": each["name"], "value": values[each["name"]]} for each in priorities],
                    "breaks": _broken(values[COST], budget),
                }
                for name, (what, values) in WAYS.items()
            ],
        }
    )


def _broken(cost: int, budget: int | None) -> str:
    return f"Budget: {cost:,} EUR is {cost - budget:,} EUR too much" if budget is not None and cost > budget else ""


def weigh(_inputs: Inputs, said: Said) -> str:
    """Step 2: points, sums and ranks by the frame of this conversation."""
    framed = objects.latest(said, "criteria")
    weights = {each["name"]: each["weight"] for each in framed.get("criteria", [])}
    points = {each["name"]: _points(framed, each) for each in framed.get("alternatives", [])}
    sums = {name: weighted(weights, each) for name, each in points.items()}
    broken = {each["name"]: each["breaks"] for each in framed.get("alternatives", [])}
    order = sorted((name for name in sums if not broken[name]), key=lambda name: -sums[name])
    return objects.write(
        {
            "alternatives": [
                {
                    "name": name,
                    "points": [{"criterion": each, "points": round(found, 1)} for each, found in points[name].items()],
                    "sum": round(sums[name], 1),
                    "rank": order.index(name) + 1 if name in order else None,
                    "why_not": broken[name],
                }
                for name in sorted(sums, key=lambda name: (name not in order, -sums[name]))
            ],
            "turns_if": _turn(weights, points, order),
        }
    )


def _points(framed: Json, alternative: Json) -> dict[str, float]:
    scales = {each["name"]: (each["at_zero"], each["at_hundred"]) for each in framed["criteria"]}
    found = {}
    for each in alternative["values"]:
        zero, hundred = scales[each["criterion"]]
        found[each["criterion"]] = min(100.0, max(0.0, 100 * (each["value"] - zero) / (hundred - zero)))
    return found


def _turn(weights: Mapping[str, int], points: Mapping[str, Mapping[str, float]], order: Sequence[str]) -> str:
    if len(order) < 2:  # noqa: PLR2004 - it takes two to swap
        return "There is only one alternative that keeps the limits."
    first, second, *_ = order
    found = swap(weights, points[first], points[second])
    if found is None:
        return f"No single weight would put {second} before {first}."
    name, weight = found
    return f"At a weight of {weight:.1f} for {name}, not {weights[name]}, {second} would draw level with {first}."


def recommend(inputs: Inputs, said: Said) -> str:
    """Step 3: the first of the weighing, with what is given up against the second."""
    framed, weighed = objects.latest(said, "criteria"), objects.latest(said, "turns_if")
    ranked = [each for each in weighed.get("alternatives", []) if each["rank"]]
    if not ranked:
        return "No weighing was given in this conversation, so there is nothing to recommend."
    first, second = ranked[0], ranked[1] if ranked[1:] else ranked[0]
    weights = {each["name"]: each["weight"] for each in framed["criteria"]}
    own, other = ({each["criterion"]: each["points"] for each in way["points"]} for way in (first, second))
    best = sorted(own, key=lambda name: -weights[name] * own[name])[:2]
    lost = [
        f"{name}: {own[name]:g} points, {second['name']} {other[name]:g}" for name in own if other[name] > own[name]
    ]
    values = {each["name"]: each["values"] for each in framed["alternatives"]}[first["name"]]
    cost = next(each["value"] for each in values if each["criterion"] == COST)
    budget = _thousands(inputs.get("budget_eur", ""))
    return objects.write(
        {
            "alternative": first["name"],
            "sentence": f"{first['name']} for {cost:,} EUR of a budget of {budget} EUR.",
            "because": [
                f"{first['sum']} points, {second['sum']} for {second['name']}.",
                *(f"{name}: {own[name]:g} of 100 points at a weight of {weights[name]}." for name in best),
            ],
            "given_up": f"{'; '.join(lost) or 'nothing'}. Borne by the pharmacy.",
            "turns_if": weighed["turns_if"],
            "next_steps": ["Owner: sign the contract today.", "Messengers: begin tomorrow morning."],
        }
    )


def _thousands(text: str) -> str:
    return f"{int(text):,}" if text.isdecimal() else "unknown"


STEPS: Final[Mapping[str, Callable[[Inputs, Said], str]]] = {
    r"^frame it on one page$": frame,
    r"^weigh the alternatives$": weigh,
    r"^recommend one$": recommend,
}
"""The steps by the question's heading."""
