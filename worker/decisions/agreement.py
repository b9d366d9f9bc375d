"""How far judges agree. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import pstdev

from worker.decisions import sums
from worker.decisions.problem import Cell, Problem, pool
from worker.decisions.sums import DIGITS, Order

BAR = 0.7
"""Kendall's W from which judges are said to agree."""
_FEWEST = 2


class Agreement(StrEnum):
    """Whether judges order alike. One judge, or one alternative, measures nothing."""

    AGREE = "agree"
    DIFFER = "differ"
    # A word of its own, and no null: expressions of gateways take null for 0, and choose a way without an error.
    NOT_MEASURED = "not_measured"


@dataclass(frozen=True, slots=True)
class Spread:
    """What the judges of one score say: the lowest and the highest, and their standard deviation, in the unit."""

    alternative: str
    criterion: str
    low: float
    high: float
    sd: float


def spreads(problem: Problem) -> list[Spread]:
    """Say how far judges are apart, for each score that two or more have given."""
    found = list[Spread]()
    for place in problem.pooled:
        given = [cells[place].base for cells in problem.scores.values() if place in cells]
        if len(given) >= _FEWEST:
            found.append(Spread(*place, min(given), max(given), pstdev(given)))
    return found


def orders(problem: Problem, among: Sequence[str]) -> dict[str, Order]:
    """Order by each judge's own scores; those who lack one of them are left out."""
    found = dict[str, Order]()
    for judge, cells in problem.scores.items():
        totals = sums.sums(sums.values(problem, cells), problem.weights)
        if totals.keys() >= set(among):
            found[judge] = sums.order(totals, among)
    return found


def kendall_w(by_judge: Sequence[Mapping[str, float]]) -> float | None:
    """Say from 0 to 1 how alike judges rank, corrected for ties; None where that cannot be measured.

    Each judge's sums, of the same alternatives. Who ties all of them says nothing of their order.
    """
    judges = len(by_judge)
    count = len(by_judge[0]) if by_judge else 0
    if judges < _FEWEST or count < _FEWEST:
        return None
    ranked = [sums.ranks(totals) for totals in by_judge]
    together = [sum(each[name] for each in ranked) for name in ranked[0]]
    # W = 12 S / (m² (n³ - n) - m T), S the squares of the rank sums' distances from their mean, T the ties' t³ - t.
    mean = judges * (count + 1) / 2
    ties = sum(each**3 - each for ranks in ranked for each in Counter(ranks.values()).values())
    most = judges**2 * (count**3 - count) - judges * ties
    return 12 * sum((each - mean) ** 2 for each in together) / most if most > 0 else None


def agreement(measured: float | None) -> Agreement:
    """Judge W."""
    if measured is None:
        return Agreement.NOT_MEASURED
    return Agreement.AGREE if round(measured, DIGITS) >= BAR else Agreement.DIFFER


def without_judge(problem: Problem, among: Sequence[str]) -> dict[str, Order]:
    """Order without each judge; nothing where there is one alone."""
    if len(problem.scores) < _FEWEST:
        return {}
    return {judge: _order(problem, _others(problem, judge), among) for judge in problem.scores}


def _others(problem: Problem, judge: str) -> dict[tuple[str, str], Cell]:
    return pool({each: cells for each, cells in problem.scores.items() if each != judge})


def _order(problem: Problem, cells: Mapping[tuple[str, str], Cell], among: Sequence[str]) -> Order:
    return sums.order(sums.sums(sums.values(problem, cells), problem.weights), among)
