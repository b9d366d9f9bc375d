"""The example that is computed by hand: three alternatives, three criteria, swing weights 60, 100 and 40."""

from collections.abc import Mapping
from typing import Any

import pytest

from worker.decisions.items import Item

SCORES = {"X": (100, 90, 20), "Y": (60, 60, 10), "Z": (40, 40, 20)}
CRITERIA = ("Cost", "Quality", "Time")


def scores(rows: Mapping[str, tuple[float, ...]] = SCORES, /, **more: Mapping[str, Any]) -> dict[str, Any]:
    """The scores of one judge; `more` is what else stands in a cell, by alternative and criterion: `X_Quality`."""
    return {
        "scores": [
            {"alternative": each, "criterion": criterion, "base": base, **more.get(f"{each}_{criterion}", {})}
            for each, row in rows.items()
            for criterion, base in zip(CRITERIA, row, strict=True)
        ]
    }


def weights(cost: float = 60, quality: float = 100, time: float = 40, **more: Any) -> dict[str, Any]:
    """A set of weights."""
    points = zip(CRITERIA, (cost, quality, time), strict=True)
    given = [{"objective": criterion, "points": each} for criterion, each in points]
    return {"id": "base", "kind": "base", "method": "swing", "points": given} | more


def parts() -> dict[str, Any]:
    """All parts, with one judge."""
    return {
        "frame": {
            "statement": "Which press is bought?",
            "decider": "The board",
            "stakeholders": [{"id": "finance", "name": "Finance", "interest": "a small sum"}],
            "limits": [{"id": "budget", "statement": "At most 110", "hard": True, "criterion": "Cost", "at_most": 110}],
            "assumptions": [{"id": "demand", "text": "Demand stays as it is."}],
            "uncertainties": [],
        },
        "objectives": {
            "objectives": [
                {"id": "Cost", "name": "Cost", "unit": "k€", "value": {"walk_away": 120, "ideal": 20}},
                {"id": "Quality", "name": "Quality", "unit": "points", "value": {"walk_away": 0, "ideal": 100}},
                {"id": "Time", "name": "Time", "unit": "weeks", "value": {"walk_away": 30, "ideal": 5}},
            ]
        },
        "alternatives": {
            "alternatives": [
                {"id": "X", "name": "The large press"},
                {"id": "Y", "name": "The small press", "screening": [{"limit": "budget", "kept": True, "why": "60"}]},
                {"id": "Z", "name": "The old press", "baseline": True},
            ]
        },
        "weights": {"sets": [weights()]},
        "scores": {"one": scores()},
        "recommendation": {
            "alternative": "Y",
            "why": "It has {sums.Y}, and leads by {lead}.",
            "given_up": ["Some quality"],
            "conditions": [{"text": "Demand stays", "rests_on": "demand"}],
            "next": [{"what": "Order it", "who": "Purchase", "by": "May"}],
        },
        "dissent": {"dissent": [{"who": "Production", "text": "The large press is better."}]},
        "pre_mortem": {"pre_mortem": [{"what": "It broke down", "sign": "noise", "answer": "maintenance"}]},
    }


def near(figure: float) -> Any:
    """A figure that is computed in closed form, but for its last digits."""
    return pytest.approx(figure, abs=1e-12)


def at(hour: int) -> str:
    """A time on the day of the example."""
    return f"2026-03-01T{hour:02}:00:00+00:00"


def said(**changed: Any) -> list[Item]:
    """All parts as turns of the first hour said them."""
    source = {"of": "turn", "at": at(1), "task": "t1"}
    given = parts() | changed
    by_judge = given.pop("scores")
    return [
        *(Item(part, value, source) for part, value in given.items()),
        *(Item("scores", value, source, judge) for judge, value in by_judge.items()),
    ]
