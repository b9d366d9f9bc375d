"""What two other libraries compute of decisions: run by their environment's Python, problems in, figures out, as JSON.

A problem has `values`, rows of alternatives and columns of criteria, each from 0 to 1, and `weights` with the sum 1.
"""

import json
import sys
from typing import Any

import numpy as np
import skcriteria
from pymcdm.methods import WSM
from skcriteria.agg.simple import WeightedSumModel


def _identity(column: Any, cost: bool = False) -> Any:  # noqa: ARG001 - as pymcdm calls it
    return column


def _figures(problem: dict[str, Any]) -> dict[str, Any]:
    values, weights = np.array(problem["values"], dtype=float), np.array(problem["weights"], dtype=float)
    method = WSM(normalization_function=_identity)
    sums = method(values, weights, np.ones(len(weights)))
    matrix = skcriteria.mkdm(values, [max] * len(weights), weights=weights)
    ranked = WeightedSumModel().evaluate(matrix)
    dominates = matrix.dominance.dominance(strict=False).to_numpy()
    return {
        "pymcdm": [float(each) for each in sums],
        "pymcdm_ranks": [float(each) for each in method.rank(sums)],
        "skcriteria": [float(each) for each in ranked.e_.score],
        "skcriteria_ranks": [int(each) for each in ranked.rank_],
        "dominates": [[int(i), int(j)] for i, j in np.argwhere(dominates)],
    }


if __name__ == "__main__":
    json.dump([_figures(each) for each in json.load(sys.stdin)], sys.stdout)
