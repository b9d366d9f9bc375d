"""What chance does to an order: weights that nobody knows, scores within their ranges. Pure, and the same each time.

numpy comes with the extra [decisions], and is imported only when something is drawn: `Array` stands for its arrays of
floats. Random numbers are the upper 53 bits of what PCG64 gives, and what is made of them stands here, so that no other
version of numpy makes others of the same seed.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Any, Final

from worker.decisions.problem import Cell, Criterion, Problem, Uncertainty
from worker.decisions.sums import DIGITS
from worker.errors import Permanent

Array = Any

SAMPLES: Final = 20_000
SEED: Final = 1
_GRID: Final = 2000
"""Quantiles, each as likely as the next, over which means are taken where nothing has to be drawn."""
_WEIGHTS, _SCORES = 1, 2
"""Streams of one seed: how much is drawn from the one changes nothing of the other."""


@dataclass(frozen=True, slots=True)
class Chances:
    """What comes of drawing. All shares are from 0 to 1; what ties shares its ranks.

    `over_weights`, `over_scores` and `over_both` say for each alternative how often it takes each rank, from the first
    on, over all weights that there could be, over the scores' ranges, and over both. `beats` says how often one has a
    higher sum than another over the scores' ranges, and `lead_sd` how much the leader's lead varies. Where nothing is
    said to be uncertain (`is_uncertain`), only the weights were drawn, and the others tell nothing.
    """

    is_uncertain: bool
    over_weights: Mapping[str, Sequence[float]]
    over_scores: Mapping[str, Sequence[float]]
    over_both: Mapping[str, Sequence[float]]
    beats: Mapping[str, Mapping[str, float]]
    lead_sd: float
    information: Mapping[str, float]
    all_information: float


def need_numpy() -> Any:
    """Import numpy. Raises Permanent, which says how to install it."""
    try:
        import numpy  # noqa: ICN001, PLC0415 - the extra [decisions] is not installed everywhere
    except ImportError as exc:
        raise Permanent(
            f"a decision is to be computed, and {exc.name} is missing: pip install 'assistant-worker[decisions]'"
        ) from exc
    return numpy


def chances(
    problem: Problem, among: Sequence[str], leader: str, *, samples: int = SAMPLES, seed: int = SEED
) -> Chances:
    """Draw. `among` are the two or more alternatives that are ranked, and lack no score. Raises Permanent."""
    np = need_numpy()
    names = sorted(among)
    criteria = problem.criteria
    known = np.array([[c.value(problem.pooled[each, c.id].base) for c in criteria] for each in names])
    weights = _draw_weights(len(criteria), samples, seed)
    shares = np.array([problem.weights[c.id] for c in criteria])
    rows = {name: row for row, name in enumerate(names)}
    columns = {c.id: column for column, c in enumerate(criteria)}
    is_drawn = np.zeros(known.shape, dtype=bool)
    scored, both = np.zeros((len(names), samples)), np.zeros((len(names), samples))
    for (name, criterion), worth in _draw_scores(problem, names, criteria, samples, seed):
        row, column = rows[name], columns[criterion]
        is_drawn[row, column] = True
        scored[row] += shares[column] * worth
        both[row] += weights[column] * worth
    sure = np.where(is_drawn, 0, known)
    scored += _weighed(sure, shares[:, None])
    both += _weighed(sure, weights)
    # Rounded before they are compared, or a last digit would decide what ties.
    sums = np.round(scored, DIGITS)
    lead = sums[names.index(leader)] - np.delete(sums, names.index(leader), axis=0).max(axis=0)
    return Chances(
        bool(is_drawn.any()),
        _acceptability(names, np.round(_weighed(known, weights), DIGITS)),
        _acceptability(names, sums),
        _acceptability(names, np.round(both, DIGITS)),
        {
            one: {other: _beats(sums[i], sums[j]) for j, other in enumerate(names) if i != j}
            for i, one in enumerate(names)
        },
        float(lead.std()),
        _information(problem, names, criteria) if problem.uncertainties else {},
        max(0.0, float(sums.max(axis=0).mean() - sums.mean(axis=1).max())),
    )


def _weighed(worth: Array, weights: Array) -> Array:
    """Multiply as matrices, without a library that does it otherwise on another processor."""
    return need_numpy().einsum("ac,cn->an", worth, weights)


class _Uniforms:
    """Numbers from 0 up to, and without, 1. `what` makes one stream of a seed independent of another."""

    def __init__(self, seed: int, what: int) -> None:
        np = need_numpy()
        self._bits = np.random.PCG64([seed, what])

    def draw(self, count: int) -> Array:
        raw = self._bits.random_raw(count)
        return (raw >> raw.dtype.type(11)) * 2.0**-53


def _draw_weights(criteria: int, samples: int, seed: int) -> Array:
    """Draw from all weights with the sum 1, none likelier than another; one row for each criterion."""
    np = need_numpy()
    uniforms = _Uniforms(seed, _WEIGHTS).draw(criteria * samples).reshape(criteria, samples)
    # Exponential numbers, divided by their sum, are spread evenly over all weights. Of 1 - u, as u may be 0 and is
    # never 1.
    exponential = -np.log1p(-uniforms)
    return exponential / exponential.sum(axis=0)


def _draw_scores(
    problem: Problem, names: Sequence[str], criteria: Sequence[Criterion], samples: int, seed: int
) -> Iterator[tuple[tuple[str, str], Array]]:
    """Draw what the scores that are uncertain are worth, each with its alternative and criterion.

    The stream is used in the order of ids: scores that move together share one number.
    """
    uniforms = _Uniforms(seed, _SCORES)
    by_id = {c.id: c for c in criteria}
    moved = set[tuple[str, str]]()
    for uncertainty in problem.uncertainties:
        together = uniforms.draw(samples)
        for place, ends in uncertainty.cells.items():
            moved.add(place)
            if place[0] in names and ends[0] != ends[1]:
                yield place, _worth(by_id[place[1]], _moved(problem.pooled[place].base, ends, together))
    for place in ((name, criterion) for name in names for criterion in by_id):
        cell = problem.pooled[place]
        if place not in moved and not cell.is_sure:
            yield place, _worth(by_id[place[1]], _own(cell, uniforms, samples))


def _own(cell: Cell, uniforms: _Uniforms, samples: int) -> Array:
    if cell.sd:
        return _normal(cell, uniforms, samples)
    return _triangular(uniforms.draw(samples), cell.low, cell.base, cell.high)


def _normal(cell: Cell, uniforms: _Uniforms, samples: int) -> Array:
    """Draw by Box and Muller."""
    np = need_numpy()
    length = np.sqrt(-2 * np.log1p(-uniforms.draw(samples)))
    return cell.base + cell.sd * length * np.cos(2 * math.pi * uniforms.draw(samples))


def _triangular(quantiles: Array, low: float, base: float, high: float) -> Array:
    np = need_numpy()
    if low == high:
        return np.full(quantiles.shape, base)
    width = high - low
    below = low + np.sqrt(quantiles * width * (base - low))
    above = high - np.sqrt((1 - quantiles) * width * (high - base))
    return np.where(quantiles * width < base - low, below, above)


def _moved(base: float, ends: tuple[float, float], quantiles: Array) -> Array:
    """Move a score with its uncertainty. A range that leaves out the score itself reaches to it."""
    low, high = ends
    turned = quantiles if low <= high else 1 - quantiles
    return _triangular(turned, min(low, high, base), base, max(low, high, base))


def _worth(criterion: Criterion, scores: Array) -> Array:
    np = need_numpy()
    at, worth = zip(*criterion.points, strict=True)
    return np.interp(scores, at, worth)


def _acceptability(names: Sequence[str], sums: Array) -> dict[str, list[float]]:
    """Count how often each takes each rank."""
    np = need_numpy()
    count, samples = sums.shape
    found = dict[str, list[float]]()
    for row, name in enumerate(names):
        better, tied = (sums > sums[row]).sum(axis=0), (sums == sums[row]).sum(axis=0)
        # Both numbers in one, so that one call counts all samples.
        times = np.bincount(better * (count + 1) + tied, minlength=count * (count + 1))
        shares = [0.0] * count
        for place in times.nonzero()[0]:
            first, among = divmod(int(place), count + 1)
            for rank in range(first, first + among):
                shares[rank] += int(times[place]) / among / samples
        found[name] = shares
    return found


@cache
def _normal_quantiles() -> tuple[float, ...]:
    return tuple(NormalDist().inv_cdf((place + 0.5) / _GRID) for place in range(_GRID))


def _beats(one: Array, other: Array) -> float:
    return float((one > other).mean() + (one == other).mean() / 2)


def _information(problem: Problem, names: Sequence[str], criteria: Sequence[Criterion]) -> dict[str, float]:
    """Say what it would be worth, in the sums' unit, to know how each uncertainty turns out before deciding."""
    np = need_numpy()
    moved = {place: other for other in problem.uncertainties for place in other.cells}
    places = [(name, criterion.id) for name in names for criterion in criteria]
    by_id = {criterion.id: criterion for criterion in criteria}
    worth = {
        place: _over_quantiles(problem.pooled[place], by_id[place[1]], moved.get(place), place) for place in places
    }
    means = {place: each.mean() for place, each in worth.items()}
    found = dict[str, float]()
    for uncertainty in problem.uncertainties:
        totals = np.zeros((len(names), _GRID))
        for place in places:
            known = worth[place] if moved.get(place) is uncertainty else means[place]
            totals[names.index(place[0])] += problem.weights[place[1]] * known
        # Knowledge is worth nothing at least: below 0 there are only last digits.
        found[uncertainty.id] = max(0.0, float(totals.max(axis=0).mean() - totals.mean(axis=1).max()))
    return found


def _over_quantiles(cell: Cell, criterion: Criterion, by: Uncertainty | None, place: tuple[str, str]) -> Array:
    np = need_numpy()
    quantiles = (np.arange(_GRID) + 0.5) / _GRID
    if by is not None:
        return _worth(criterion, _moved(cell.base, by.cells[place], quantiles))
    if cell.sd:
        return _worth(criterion, cell.base + cell.sd * np.array(_normal_quantiles()))
    return _worth(criterion, _triangular(quantiles, cell.low, cell.base, cell.high))
