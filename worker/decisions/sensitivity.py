"""How far an order holds: other weights, other scores, without one judge or criterion. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from worker.decisions import sums
from worker.decisions.problem import Problem
from worker.decisions.sums import DIGITS, Order, Values

_MORE = 1.2
_LESS = 0.8


@dataclass(frozen=True, slots=True)
class Swap:
    """The share of one weight, the others rescaled, at which somebody else draws level with the leader."""

    share: float
    to: str


@dataclass(frozen=True, slots=True)
class Swaps:
    """The nearest swaps to both sides of the share that a weight has; None where there is none before 0 or 1."""

    share: float
    down: Swap | None
    up: Swap | None


@dataclass(frozen=True, slots=True)
class Bar:
    """What the leader's lead is with one thing at each end of its range. `of` is a score's place or an uncertainty."""

    of: str
    low: float
    high: float


def swaps(worth: Values, shares: Mapping[str, float], leader: str) -> dict[str, Swaps]:
    """Find the swap points of every weight among the alternatives of `worth`, which lack no score."""
    return {criterion: _swaps(worth, shares, leader, criterion) for criterion in shares}


def _swaps(worth: Values, shares: Mapping[str, float], leader: str, criterion: str) -> Swaps:
    """Both sums are straight lines of the share: they cross once at most."""
    share = shares[criterion]
    without, alone = (sums.rescaled(shares, criterion, at) for at in (0.0, 1.0))
    if without is None or alone is None:
        return Swaps(share, None, None)
    at_0, at_1 = sums.sums(worth, without), sums.sums(worth, alone)
    up, down = list[Swap](), list[Swap]()
    for other in sorted(worth.keys() - {leader}):
        begins, ends = at_0[leader] - at_0[other], at_1[leader] - at_1[other]
        # Parallel: they cross nowhere, or by their last digits alone.
        if round(begins - ends, DIGITS) == 0:
            continue
        crossing = begins / (begins - ends)
        if begins > ends and crossing <= 1:
            up.append(Swap(crossing, other))
        elif begins < ends and crossing >= 0:
            down.append(Swap(crossing, other))
    nearest_down = max(down, key=lambda each: each.share, default=None)
    return Swaps(share, nearest_down, min(up, key=lambda each: each.share, default=None))


def fifths(worth: Values, shares: Mapping[str, float]) -> dict[str, dict[str, tuple[float, Order]]]:
    """Order with each weight's share a fifth less and a fifth more, the others rescaled. Shares beside the orders."""
    found = dict[str, dict[str, tuple[float, Order]]]()
    for criterion, share in shares.items():
        for side, factor in (("less", _LESS), ("more", _MORE)):
            changed = min(1.0, share * factor)
            if (others := sums.rescaled(shares, criterion, changed)) is not None:
                found.setdefault(criterion, {})[side] = changed, sums.order(sums.sums(worth, others), worth)
    return found


def tornado(problem: Problem, leader: str, among: Sequence[str]) -> list[Bar]:
    """Say what the lead becomes with one score, or all that one uncertainty moves, at its ends; the longest first."""
    moved = {place: uncertainty.id for uncertainty in problem.uncertainties for place in uncertainty.cells}
    leads = _Leads(problem, leader, among)
    bars = [
        Bar(uncertainty.id, *(leads.having(_at(uncertainty.cells, end)) for end in (0, 1)))
        for uncertainty in problem.uncertainties
    ]
    for place, cell in problem.pooled.items():
        if place[0] in among and place not in moved and not cell.is_sure:
            bars.append(Bar("/".join(place), *(leads.having({place: end}) for end in cell.ends)))
    return sorted(bars, key=lambda bar: (-round(abs(bar.high - bar.low), DIGITS), bar.of))


def _at(cells: Mapping[tuple[str, str], tuple[float, float]], end: int) -> dict[tuple[str, str], float]:
    return {place: ends[end] for place, ends in cells.items()}


class _Leads:
    """The leader's lead with other scores: only the sums that these change are added up anew."""

    def __init__(self, problem: Problem, leader: str, among: Sequence[str]) -> None:
        worth = sums.values(problem, problem.pooled)
        self._worth = {each: worth[each] for each in among}
        self._shares = problem.weights
        self._totals = sums.sums(self._worth, self._shares)
        self._criteria = {each.id: each for each in problem.criteria}
        self._leader = leader

    def having(self, scores: Mapping[tuple[str, str], float]) -> float:
        """Say the lead with these scores in place of those that are kept; others' than are compared change nothing."""
        rows = {each: {**self._worth[each]} for each, _ in scores if each in self._worth}
        for (alternative, criterion), score in scores.items():
            if alternative in rows:
                rows[alternative][criterion] = self._criteria[criterion].value(score)
        return sums.lead(self._totals | sums.sums(rows, self._shares), self._leader)


def without_criterion(problem: Problem, worth: Values, among: Iterable[str]) -> dict[str, Order]:
    """Order without each criterion, the other weights rescaled."""
    among = list(among)
    orders = dict[str, Order]()
    for criterion in problem.weights:
        shares = sums.rescaled(problem.weights, criterion, 0.0)
        if shares is not None:
            shares.pop(criterion)
            orders[criterion] = sums.order(sums.sums(worth, shares), among)
    return orders


def by_set(problem: Problem, worth: Values, among: Iterable[str]) -> dict[str, Order]:
    """Order by each set of weights."""
    among = list(among)
    return {name: sums.order(sums.sums(worth, shares), among) for name, shares in problem.shares.items()}
