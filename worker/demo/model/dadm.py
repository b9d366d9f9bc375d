"""The ten steps of the sample decision with gates: those of a trade study, and what is uncertain and better."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from worker.demo.model import objects, trade_study

Inputs = Mapping[str, str]
Said = Sequence[str]

RANGE: Final = 0.25
"""How far the uncertain score may be off, as a share of its scale."""


def uncertainty(inputs: Inputs, said: Said) -> str:
    """Step 6: the frame once more, with the score of the leader that a limit is on as what nobody knows."""
    leader, text = trade_study.computed(inputs)
    framed = objects.latest(said, "statement")
    leaves = {each["id"]: each for each in objects.latest(said, "objectives").get("objectives", [])}
    names = {each["id"]: each["name"] for each in objects.latest(said, "alternatives").get("alternatives", [])}
    if not leader:
        return objects.write(framed)
    leaf = leaves[framed["limits"][0]["criterion"]]
    scale, score = leaf["value"], trade_study.pooled(text)[names[leader]][leaf["name"]]
    off = RANGE * abs(scale["ideal"] - scale["walk_away"])
    cell = {
        "alternative": leader,
        "criterion": leaf["id"],
        "low": round(score - off),
        "high": round(score + off),
    }
    found = {
        "id": "dry_years",
        "name": "How dry the summers will be",
        "why": "The records of the county begin when summers were another thing.",
        "cells": [cell],
    }
    return objects.write({**framed, "uncertainties": [found]})


def improve(_inputs: Inputs, said: Said) -> str:
    """Step 8: the alternatives once more, and one that takes away what hurts the best of them."""
    ways = objects.latest(said, "alternatives").get("alternatives", [])
    limits = objects.latest(said, "limits").get("limits", [])
    figures = trade_study.IMPROVED["well_and_link"]
    better = {
        "id": "well_and_link",
        "name": "Well with a link",
        "summary": "The deep well, and a thin pipe to the next village's works for dry weeks: "
        + ", ".join(f"{name} {figure}" for name, figure in figures.items()),
        "baseline": False,
        "screening": [{"limit": each["id"], "kept": True, "why": "by the link"} for each in limits],
    }
    return objects.write({"alternatives": [*ways, better]})


STEPS: Final[Mapping[str, Callable[[Inputs, Said], str]]] = {
    r"^1 frame the decision$": trade_study.frame,
    r"^2 set objectives and measures$": trade_study.criteria,
    r"^2 weigh the objectives$": trade_study.weights,
    r"^3 find alternatives$": trade_study.alternatives,
    r"^4 assess the alternatives$": trade_study.score,
    r"^6 name what is uncertain$": uncertainty,
    r"^8 improve the alternatives$": improve,
    r"^8 assess them again$": trade_study.score,
    r"^10 recommend and plan$": trade_study.recommend,
}
"""The steps by the question's heading."""
