"""What the script knows of the sample decision: invented aircraft, their prices, and what each alternative achieves."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

COST: Final = "Cost"


@dataclass(frozen=True, slots=True)
class Objective:
    """What is wanted. `required` occurs in the requirement behind it, `wanted` in what stakeholders say of it."""

    name: str
    measure: str
    less: bool
    required: str
    wanted: tuple[str, ...]
    idea: str


OBJECTIVES: Final = (
    Objective(
        "Night search",
        "minutes to search 1 km² in the dark",
        less=True,
        required="thermal",
        wanted=("night", "search", "hot spot", "live picture"),
        idea="a thermal camera on everything that flies",
    ),
    Objective(
        "Reach",
        "% of places reached within 20 minutes",
        less=False,
        required="reach",
        wanted=("minutes", "whole county", "places"),
        idea="stations all over the county, so that nobody has to drive first",
    ),
    Objective(
        "Flying days",
        "% of days on which it can fly",
        less=False,
        required="wind",
        wanted=("wind", "rain", "smoke"),
        idea="closed, heated airframes only",
    ),
    Objective(
        "Delivery",
        "kg dropped at a place that is cut off",
        less=False,
        required="drop",
        wanted=("medicine", "deliver", "cut off"),
        idea="a cargo aircraft of its own",
    ),
    Objective(
        "Readiness",
        "days until a damaged aircraft is replaced",
        less=True,
        required="spare",
        wanted=("ready", "handling", "training", "repair"),
        idea="spare aircraft on the shelf",
    ),
    Objective(
        COST,
        "M$ for purchase, training and three years",
        less=True,
        required="",
        wanted=("money", "grant", "budget"),
        idea="own nothing and call somebody else's aircraft",
    ),
)

Parts = Mapping[str, int]
"""How many of which item."""

EQUIPMENT: Final[Parts] = {"Talvo M3": 38_000, "Orrin V60": 145_000, "Bruma C8": 62_000, "docking station": 95_000}
PRICES: Final[Parts] = {**EQUIPMENT, "pilot training": 6_500, "provider year": 290_000}
"""Dollars apiece. The aircraft are invented: a quadcopter, a fixed wing that takes off upright, a cargo carrier."""

OPERATION_PERCENT: Final = 12
"""Of the equipment's price, each year."""
YEARS: Final = 3


def operation(parts: Parts) -> int:
    """What three years of operation cost, in dollars."""
    return sum(count * EQUIPMENT.get(item, 0) for item, count in parts.items()) * OPERATION_PERCENT * YEARS // 100


def cost(parts: Parts) -> int:
    """What all of it costs with its operation, in dollars."""
    return sum(count * PRICES[item] for item, count in parts.items()) + operation(parts)


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way to go. `values` are in the measures of the objectives, all but the cost.

    `condition` names a hard limit and on what condition it is kept; empty where there is none. `breaks` are the hard
    limits that it does not keep at all.
    """

    name: str
    parts: Parts
    flown_by: str
    values: Mapping[str, float]
    condition: tuple[str, str] = ("", "")
    breaks: tuple[str, ...] = ()


def _values(*values: float) -> Mapping[str, float]:
    return dict(zip((objective.name for objective in OBJECTIVES), values, strict=False))


ALTERNATIVES: Final = (
    Alternative(
        "A Present state",
        {},
        "state police, with their helicopter",
        _values(70, 5, 55, 0, 14),
        breaks=("Thermal camera", "Training"),
    ),
    Alternative(
        "B Quadcopter pool",
        {"Talvo M3": 14, "pilot training": 16},
        "crews of both services",
        _values(18, 70, 78, 2.2, 3),
    ),
    Alternative(
        "C Mixed fleet",
        {"Talvo M3": 10, "Orrin V60": 3, "Bruma C8": 2, "pilot training": 16},
        "crews of both services, long flights by four of the pilots",
        _values(11, 85, 84, 8, 4),
    ),
    Alternative(
        "D Docking network",
        {"Talvo M3": 12, "docking station": 8, "pilot training": 16},
        "pilots in the operations centre",
        _values(14, 93, 80, 2.2, 6),
        ("Airspace", "with a waiver for flights beyond visual line of sight"),
    ),
    Alternative(
        "E Provider on call",
        {"Talvo M3": 2, "pilot training": 16, "provider year": 3},
        "a provider's crews, own pilots until these arrive",
        _values(30, 40, 70, 5, 2),
        ("Data protection", "if the contract keeps all footage on county systems"),
    ),
)


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """What is not known of an objective. `worst`: what alternatives achieve by it if it turns out badly."""

    touches: str
    unknown: str
    cure: str
    worst: Mapping[str, float]


UNCERTAINTIES: Final = {
    "Waiver": Uncertainty(
        "Reach",
        "whether flights beyond visual line of sight will be allowed",
        "an early talk with the FAA",
        {"C Mixed fleet": 74, "D Docking network": 41},
    ),
    "Radio": Uncertainty(
        "Night search",
        "whether live pictures get out of the hills",
        "test flights in the two worst valleys",
        {"C Mixed fleet": 32, "D Docking network": 41},
    ),
    "Crews": Uncertainty(
        "Readiness",
        "whether both services can spare 16 people",
        "a written promise of both chiefs",
        {"B Quadcopter pool": 8, "C Mixed fleet": 9},
    ),
}

SCOUT: Final = ("Pell S1 scouts, 28 minutes in the air", "Flight time")
"""An idea that breaks a hard limit, and which."""

LIMIT_NAMES: Final = {
    "total cost": "Budget",
    "airspace": "Airspace",
    "night": "Night flying",
    "data protection": "Data protection",
    "grant": "Origin",
    "staff": "Staff",
}
"""Short names for constraints, by a word in them."""


def named(names: Iterable[str]) -> list[Objective]:
    """The objectives of these names, in our order; unknown names are left out."""
    wanted = set(names)
    return [objective for objective in OBJECTIVES if objective.name in wanted]


def value(alternative: Alternative, objective: Objective) -> float:
    """What an alternative achieves, in the objective's measure."""
    return round(cost(alternative.parts) / 1e6, 2) if objective.name == COST else alternative.values[objective.name]
