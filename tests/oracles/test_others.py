"""Sums, ranks and dominance of decisions as pymcdm and scikit-criteria compute them, without scaling of theirs."""

import json
import random
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from tests.environments import environment
from tests.unit.decisions.examples import parts
from worker.decisions import problem, sums

ROOT: Final = Path(__file__).parents[2]
HOME: Final = ROOT / ".oracles"


@pytest.fixture(scope="module")
def python() -> str:
    """The Python of the environment that has them."""
    environment(HOME, ROOT / "docker" / "requirements" / "oracles.txt")
    return str(HOME / "venv" / "bin" / "python")


def invented(seed: int) -> dict[str, Any]:
    """A decision of up to eight alternatives and twelve criteria; few different scores, so that some tie."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    alternatives = [f"A{number}" for number in range(chance.randint(2, 8))]
    criteria = [f"C{number:02}" for number in range(chance.randint(2, 12))]
    scale = {"walk_away": 10, "ideal": 0}
    cells = [(each, criterion) for each in alternatives for criterion in criteria]
    points = [{"objective": each, "points": chance.randint(1, 5)} for each in criteria]
    return {
        "frame": {"statement": "Which?", "decider": "We"},
        "objectives": {"objectives": [{"id": each, "name": each, "value": scale} for each in criteria]},
        "alternatives": {"alternatives": [{"id": each, "name": each} for each in alternatives]},
        "weights": {"sets": [{"id": "base", "kind": "base", "points": points}]},
        "scores": {
            "one": {
                "scores": [
                    {"alternative": each, "criterion": criterion, "base": chance.randint(0, 3)}
                    for each, criterion in cells
                ]
            }
        },
    }


def test_sums_ranks_and_dominance_are_those_of_others(python: str) -> None:
    ours = [problem.read(each) for each in [parts(), *map(invented, range(50))]]
    worth = [sums.values(each, each.pooled) for each in ours]
    asked = [
        {"values": [[*row.values()] for row in rows.values()], "weights": [*each.weights.values()]}
        for each, rows in zip(ours, worth, strict=True)
    ]
    command = [python, str(Path(__file__).with_name("others.py"))]
    answered = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=True)

    for each, rows, others in zip(ours, worth, json.loads(answered.stdout), strict=True):
        totals = sums.sums(rows, each.weights)
        names = list(totals)
        assert [*totals.values()] == pytest.approx(others["pymcdm"], abs=1e-12)
        assert [*totals.values()] == pytest.approx(others["skcriteria"], abs=1e-12)
        rounded = [round(total, sums.DIGITS) for total in others["pymcdm"]]
        assert [*totals] == names
        assert sums.ranks(totals) == sums.ranks(dict(zip(names, rounded, strict=True)))
        dominant = [(names[over], names[under]) for over, under in others["dominates"]]
        assert sums.dominance(rows, names) == dominant
    assert [*sums.ranks(sums.sums(worth[0], ours[0].weights)).values()] == json.loads(answered.stdout)[0][
        "pymcdm_ranks"
    ]
