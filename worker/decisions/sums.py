"""Values, weighted sums and the order that they give; limits. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import permutations

from worker.decisions.problem import Cell, Limit, Problem

DIGITS = 12
"""After the point: what differs by less is the same."""

Values = Mapping[str, Mapping[str, float]]
"""What scores are worth, from 0 to 1, by alternative and criterion; a score that is missing has none."""


class Kept(StrEnum):
    """How an alternative stands to a limit. `AT_RISK`: as scored it is kept, and the score's range goes beyond it."""

    KEPT = "kept"
    AT_RISK = "at_risk"
    BROKEN = "broken"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Order:
    """Alternatives from the first to the last; what ties is ordered by id.

    `leader` is empty where fewer than two are compared. `lead` is what its sum has more than the next one's.
    """

    sums: Mapping[str, float]
    order: Sequence[str]
    leader: str
    lead: float


def values(problem: Problem, scores: Mapping[tuple[str, str], Cell]) -> dict[str, dict[str, float]]:
    """Say what scores are worth, each as it is thought to be."""
    return {
        each: {c.id: c.value(scores[each, c.id].base) for c in problem.criteria if (each, c.id) in scores}
        for each in problem.alternatives
    }


def sums(worth: Values, shares: Mapping[str, float]) -> dict[str, float]:
    """Weigh and add up. An alternative that lacks a score has no sum."""
    return {
        each: math.fsum(share * row[criterion] for criterion, share in shares.items())
        for each, row in worth.items()
        if row.keys() >= shares.keys()
    }


def order(totals: Mapping[str, float], among: Iterable[str]) -> Order:
    """Order those of `among` that have a sum."""
    ranked = {each: totals[each] for each in sorted(among) if each in totals}
    names = sorted(ranked, key=lambda each: (-round(ranked[each], DIGITS), each))
    if len(names) < 2:  # noqa: PLR2004 - one alone leads nobody
        return Order(ranked, names, "", 0.0)
    return Order(ranked, names, names[0], lead(ranked, names[0]))


def lead(totals: Mapping[str, float], leader: str) -> float:
    """Say what one has more than the best of the others; below 0 where it has less."""
    # Of -0.0 this makes 0.0.
    return round(totals[leader] - max(total for each, total in totals.items() if each != leader), DIGITS) + 0.0


def ranks(totals: Mapping[str, float]) -> dict[str, float]:
    """Rank from 1 on; those that tie share the mean of the ranks that they take."""
    rounded = {each: round(total, DIGITS) for each, total in totals.items()}
    return {
        each: 1
        + sum(other > own for other in rounded.values())
        + (sum(other == own for other in rounded.values()) - 1) / 2
        for each, own in rounded.items()
    }


def dominance(worth: Values, among: Iterable[str]) -> list[tuple[str, str]]:
    """Find the pairs in which the first is nowhere worse than the second and somewhere better."""
    rows = {each: {criterion: round(value, DIGITS) for criterion, value in worth[each].items()} for each in among}
    return [
        (over, under)
        for over, under in permutations(sorted(rows), 2)
        if all(rows[over][criterion] >= value for criterion, value in rows[under].items()) and rows[over] != rows[under]
    ]


def rescaled(shares: Mapping[str, float], criterion: str, share: float) -> dict[str, float] | None:
    """Give one criterion another share, and the others what is left in their proportion; None if they have none."""
    rest = math.fsum(given for each, given in shares.items() if each != criterion)
    if rest <= 0:
        return None
    return {each: share if each == criterion else given * (1 - share) / rest for each, given in shares.items()}


def limits(problem: Problem) -> dict[str, dict[str, Kept]]:
    """Say how each alternative stands to each limit."""
    return {
        each: {limit.id: _stands(problem, each, limit) for limit in problem.limits} for each in problem.alternatives
    }


def excluded(problem: Problem) -> dict[str, list[str]]:
    """Name the hard limits that alternatives break."""
    hard = {limit.id for limit in problem.limits if limit.is_hard}
    broken = {
        each: [limit for limit, kept in row.items() if kept is Kept.BROKEN and limit in hard]
        for each, row in limits(problem).items()
    }
    return {each: names for each, names in broken.items() if names}


def by_number(problem: Problem, alternative: str, limit: Limit) -> Kept:
    """Say how an alternative stands to a limit by its score alone."""
    cell = problem.pooled.get((alternative, limit.criterion)) if limit.criterion else None
    if cell is None:
        return Kept.UNKNOWN
    if not _is_within(cell.base, limit):
        return Kept.BROKEN
    return Kept.KEPT if all(_is_within(end, limit) for end in cell.ends) else Kept.AT_RISK


def _is_within(score: float, limit: Limit) -> bool:
    """Compare but for the last digits, which a mean may be off by."""
    at_end = any(math.isclose(score, end, rel_tol=10**-DIGITS) for end in (limit.at_least, limit.at_most))
    return at_end or limit.at_least <= score <= limit.at_most


def _stands(problem: Problem, alternative: str, limit: Limit) -> Kept:
    said, counted = problem.screening[alternative].get(limit.id), by_number(problem, alternative, limit)
    if said is False:
        return Kept.BROKEN
    return Kept.KEPT if said and counted is Kept.UNKNOWN else counted
