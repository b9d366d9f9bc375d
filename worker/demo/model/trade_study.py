"""The steps of the sample trade study: parts of a decision's record, in their published form. No sum is among them."""

import re
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any, Final

from worker.demo.model import markdown as md
from worker.demo.model import objects

Inputs = Mapping[str, str]
Said = Sequence[str]
Json = dict[str, Any]

JUDGES: Final[Mapping[str, Mapping[str, Mapping[str, float]]]] = {
    "judge_engineering": {
        "diesel": {"investment": 100, "running_cost": 20, "availability": -0.2},
        "hybrid": {"investment": 200, "running_cost": 20, "emissions": -20, "availability": -0.4},
        "battery": {"investment": -200, "running_cost": -20, "availability": 0.4},
        "hydrogen": {"investment": 300, "running_cost": 20, "availability": -0.5},
        "deep_well": {"dry_summer": 3, "time": 2},
        "lake": {"time": 4},
    },
    "judge_operations": {
        "diesel": {"running_cost": -60, "availability": 0.3},
        "hybrid": {"investment": -200, "running_cost": -20, "emissions": 50, "availability": 0.2},
        "battery": {"investment": 600, "running_cost": 140, "emissions": 100, "availability": -1.8},
        "hydrogen": {"running_cost": 150, "emissions": 20, "availability": -0.8},
        "deep_well": {"dry_summer": -6, "warnings": 2},
        "lake": {"warnings": 4},
    },
    "judge_finance": {
        "diesel": {"investment": -100, "running_cost": 10, "emissions": 20, "availability": -0.1},
        "hybrid": {"investment": 100, "running_cost": -10, "availability": -0.1},
        "battery": {"investment": -300, "running_cost": -40, "availability": -0.2},
        "hydrogen": {"investment": 400, "running_cost": 60},
        "deep_well": {"cost": 150},
        "pipeline": {"cost": 300, "time": 4},
    },
}
"""How far each judge is from the offers' figures, by alternative and criterion."""
IMPROVED: Final = {"well_and_link": {"cost": 2400, "dry_summer": 114, "warnings": 6, "time": 24}}
"""What no offer has, and is thought of on the way."""
REASONS: Final = {
    "judge_engineering": "two such plants that were built",
    "judge_operations": "winters on the quay, and the crew's own log",
    "judge_finance": "the accounts of three ferries",
}
SURPRISE: Final = 0.05
"""How far a score may be off, as a share of its scale."""
CONVINCED: Final = 0.75
"""How far a judge moves towards the panel's mean."""
WIDE: Final = 100
"""A scale from which on nobody scores in fractions."""


def frame(inputs: Inputs, _said: Said) -> str:
    """Say what is decided, within which limits."""
    limits = objects.read(inputs.get("limits", ""), list)
    return objects.write(
        {
            "statement": inputs.get("question", "not given"),
            "decider": inputs.get("decider", "not given"),
            "stakeholders": [
                {"id": name_for_programs(each["name"]), **each}
                for each in objects.read(inputs.get("parties", ""), list)
            ],
            "limits": [
                {
                    "id": f"{name_for_programs(each['measure'])}_limit",
                    "statement": each["limit"],
                    "hard": True,
                    "criterion": name_for_programs(each["measure"]),
                    **{bound: each[bound] for bound in ("at_least", "at_most") if bound in each},
                }
                for each in limits
            ],
            "assumptions": [{"id": "use", "text": "It goes on being used as it is today."}],
            "uncertainties": [],
        }
    )


def criteria(inputs: Inputs, _said: Said) -> str:
    """Make a criterion of each measure."""
    return objects.write(
        {
            "objectives": [
                {
                    "id": name_for_programs(each["name"]),
                    "name": each["name"],
                    "unit": each["unit"],
                    "value": {"walk_away": each["walk_away"], "ideal": each["ideal"]},
                }
                for each in objects.read(inputs.get("measures", ""), list)
            ]
        }
    )


def alternatives(inputs: Inputs, said: Said) -> str:
    """Make an alternative of each offer, and hold its figures against the limits."""
    limits = objects.latest(said, "limits").get("limits", [])
    return objects.write(
        {
            "alternatives": [
                {
                    "id": name_for_programs(each["name"]),
                    "name": each["name"],
                    "summary": each["what"],
                    "baseline": each.get("is_as_before", False),
                    "screening": [_screened(limit, each["figures"]) for limit in limits],
                }
                for each in objects.read(inputs.get("offers", ""), list)
            ]
        }
    )


def _screened(limit: Json, figures: Mapping[str, float]) -> Json:
    figure = {name_for_programs(name): value for name, value in figures.items()}[limit["criterion"]]
    kept = limit.get("at_least", figure) <= figure <= limit.get("at_most", figure)
    return {"limit": limit["id"], "kept": kept, "why": f"{figure} by the offer"}


def weights(inputs: Inputs, said: Said) -> str:
    """Take points over as they are."""
    measures = objects.read(inputs.get("measures", ""), list)
    parties = {each["name"]: each["id"] for each in objects.latest(said, "stakeholders").get("stakeholders", [])}
    return objects.write(
        {
            "sets": [
                {
                    "id": "base" if name not in parties else f"of_{parties[name]}",
                    **({"kind": "stakeholder", "stakeholder": parties[name]} if name in parties else {"kind": "base"}),
                    "name": name,
                    "method": "points, as given",
                    "points": [
                        {"objective": name_for_programs(each["name"]), "points": each["points"][name]}
                        for each in measures
                    ],
                }
                for name in (measures[0]["points"] if measures else ())
            ]
        }
    )


def score(inputs: Inputs, _said: Said) -> str:
    """Score as one judge: the offers' figures, and how far this judge is from them."""
    judge = inputs.get("judge", "").strip('"')
    offered = {
        name_for_programs(each["name"]): {name_for_programs(name): value for name, value in each["figures"].items()}
        for each in objects.read(inputs.get("offers", ""), list)
    }
    offered |= IMPROVED
    rows = []
    for way, scale in _cells(inputs):
        off = JUDGES.get(judge, {}).get(way, {}).get(scale["id"], 0)
        why = f"the offer, put right by {REASONS.get(judge, 'experience')}" if off else "as offered"
        rows.append(_score(way, scale, offered[way][scale["id"]] + off, why))
    return objects.write({"scores": rows})


def score_again(inputs: Inputs, _said: Said) -> str:
    """Move towards the panel's mean, but not all the way."""
    own = _by_cell(inputs.get("own_scores", ""))
    panel = [_by_cell(text) for name, text in inputs.items() if re.fullmatch(r"scores_\d+", name)]
    rows = []
    for way, scale in _cells(inputs):
        mine = own[way, scale["id"]]["base"]
        mean = fmean(each[way, scale["id"]]["base"] for each in panel if each)
        near = abs(mean - mine) < SURPRISE * _width(scale)
        why = "I stay: the others are near" if near else "I move: what the others rest on weighs more than I thought"
        rows.append(_score(way, scale, mine if near else mine + CONVINCED * (mean - mine), why))
    return objects.write({"scores": rows})


def _cells(inputs: Inputs) -> list[tuple[str, Json]]:
    """Name every alternative with every criterion."""
    named = next((inputs[name] for name in ("improved_alternatives", "alternatives") if name in inputs), "")
    ways = objects.read(named, dict).get("alternatives", [])
    leaves = objects.read(inputs.get("objectives", ""), dict).get("objectives", [])
    return [(way["id"], leaf) for way in ways for leaf in leaves if leaf.get("value")]


def _by_cell(text: str) -> dict[tuple[str, str], Json]:
    return {(each["alternative"], each["criterion"]): each for each in objects.read(text, dict).get("scores", [])}


def _score(way: str, scale: Json, figure: float, why: str) -> Json:
    digits = 0 if _width(scale) >= WIDE else 2
    off = SURPRISE * _width(scale)
    low, base, high = (round(each, digits) for each in (max(0.0, figure - off), figure, figure + off))
    return {"alternative": way, "criterion": scale["id"], "base": base, "low": low, "high": high, "why": why}


def _width(scale: Json) -> float:
    return float(abs(scale["value"]["ideal"] - scale["value"]["walk_away"]))


def computed(inputs: Inputs) -> tuple[str, str]:
    """Find who leads, and the record in words, among what a step is given."""
    found = (objects.read(text, dict).get("leader", "") for text in inputs.values())
    return next(filter(None, found), ""), next((text for name, text in inputs.items() if name.endswith("_text")), "")


def recommend(inputs: Inputs, said: Said) -> str:
    """Recommend who leads, with what the second would be better at; figures are places that code fills in."""
    leader, text = computed(inputs)
    names = {each["id"]: each["name"] for each in objects.latest(said, "alternatives").get("alternatives", [])}
    ids = {name: each for each, name in names.items()}
    ranked = [row[1] for row in md.rows(text, "Ranking") if row[0].isdecimal() and row[1] in ids]
    if not leader or len(ranked) < 2:  # noqa: PLR2004 - it takes two to compare
        return objects.write({"alternative": None, "why": "Fewer than two alternatives can be ranked."})
    second = ids[ranked[1]]
    limit = next((each["id"] for each in objects.latest(said, "limits").get("limits", [])), None)
    return objects.write(
        {
            "alternative": leader,
            "why": f"{names[leader]} leads with {{sums.{leader}}}, {names[second]} has {{sums.{second}}}: a lead of "
            f"{{lead}}. Over all that the scores' ranges allow it is first in {{first_share:%}} of cases.",
            "given_up": _given_up(
                leader, second, names, objects.latest(said, "objectives").get("objectives", []), text
            ),
            "conditions": [
                {
                    "text": "What is ordered keeps the limit, by its contract; else the second one is built.",
                    "rests_on": limit,
                },
                {"text": "The use of it does not change.", "rests_on": "use"},
            ],
            "next": [{"what": "Sign the contract", "who": "Who has decided", "by": "before the work begins"}],
        }
    )


def _given_up(leader: str, second: str, names: Mapping[str, str], leaves: Sequence[Json], text: str) -> list[str]:
    """Say where the second is better, by the scores of all judges together."""
    scores = pooled(text)
    lost = []
    for each in leaves:
        mine, other = (scores[names[way]][each["name"]] for way in (leader, second))
        ideal = each["value"]["ideal"]
        if abs(ideal - other) < abs(ideal - mine):
            lost.append(
                f"{each['name']}: {{scores.{leader}.{each['id']}}} {each['unit']}, "
                f"{names[second]} {{scores.{second}.{each['id']}}}"
            )
    return lost


def pooled(text: str) -> dict[str, dict[str, float]]:
    """Read the scores of all judges together, by the names of alternatives and criteria."""
    tables = [row for row in md.rows(text, "Ranking") if row[0] != "---"]
    start = next(place for place, row in enumerate(tables) if row[0] == "Option")
    return {row[0]: dict(zip(tables[start][1:], map(float, row[1:]), strict=True)) for row in tables[start + 1 :]}


def name_for_programs(name: str) -> str:
    """Make an id of a name."""
    return re.sub(r"\W+", "_", name.lower()).strip("_")


STEPS: Final[Mapping[str, Callable[[Inputs, Said], str]]] = {
    r"^frame the trade study$": frame,
    r"^set criteria$": criteria,
    r"^describe alternatives$": alternatives,
    r"^take over the weights$": weights,
    r"^score the alternatives$": score,
    r"^score once more$": score_again,
    r"^recommend for signature$": recommend,
}
"""The steps by the question's heading."""
