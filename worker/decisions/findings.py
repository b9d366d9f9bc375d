"""What a person should know of a record before signing it: where it contradicts itself, how little it takes. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Any, Final

from worker.decisions import sums, texts
from worker.decisions.problem import Problem
from worker.decisions.schemas import INPUTS, PARTS
from worker.decisions.sums import Kept


class Kind(StrEnum):
    """What is found. The first four are mismatches: somebody said what does not hold."""

    UNBOUND = "unbound"
    UNKNOWN_FIGURE = "unknown_figure"
    SCREENING = "screening"
    EXCLUDED_RECOMMENDED = "excluded_recommended"
    LIMIT_BROKEN = "limit_broken"
    LIMIT_AT_RISK = "limit_at_risk"
    CONDITION_OUTSIDE = "condition_outside"
    NOT_LEADER = "not_leader"
    LEAD_WITHIN_UNCERTAINTY = "lead_within_uncertainty"
    FLIPS = "flips"
    RANGE_LEAVES_OUT = "range_leaves_out"
    MISSING = "missing"


MISMATCHES: Final = frozenset({Kind.UNBOUND, Kind.UNKNOWN_FIGURE, Kind.SCREENING, Kind.EXCLUDED_RECOMMENDED})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found, where, and the figure or name that it is about."""

    kind: Kind
    where: str
    said: str


def of_limits(problem: Problem) -> Iterator[Finding]:
    """Find limits that are broken or at risk, and screenings that the scores contradict."""
    kept = sums.limits(problem)
    for each, limit in product(problem.alternatives, problem.limits):
        if kept[each][limit.id] is Kept.BROKEN:
            yield Finding(Kind.LIMIT_BROKEN, each, limit.id)
        elif kept[each][limit.id] is Kept.AT_RISK:
            yield Finding(Kind.LIMIT_AT_RISK, each, limit.id)
        said, counted = problem.screening[each].get(limit.id), sums.by_number(problem, each, limit)
        # Said to be kept and broken by its score, or the other way round.
        if said is not None and counted is not Kept.UNKNOWN and said == (counted is Kept.BROKEN):
            yield Finding(Kind.SCREENING, each, limit.id)


def of_scores(problem: Problem) -> Iterator[Finding]:
    """Find scores that a judge lacks, and ranges that leave out what they are ranges of."""
    for judge, cells in problem.scores.items():
        for each, criterion in product(problem.alternatives, problem.criteria):
            if (each, criterion.id) not in cells:
                yield Finding(Kind.MISSING, judge, f"{each}/{criterion.id}")
    for uncertainty in problem.uncertainties:
        for place, ends in uncertainty.cells.items():
            if place in problem.pooled and not min(ends) <= problem.pooled[place].base <= max(ends):
                yield Finding(Kind.RANGE_LEAVES_OUT, uncertainty.id, "/".join(place))


def of_order(computed: Mapping[str, Any]) -> Iterator[Finding]:
    """Find out how little it takes for another to lead."""
    if computed["is_uncertain"] and computed["lead"] < computed["lead_sd"]:
        yield Finding(Kind.LEAD_WITHIN_UNCERTAINTY, computed["leader"], "")
    for criterion, sides in computed["fifths"].items():
        for side, order in sides.items():
            if order["leader"] != computed["leader"]:
                yield Finding(Kind.FLIPS, f"{criterion}.{side}", order["leader"])


def of_recommendation(content: Mapping[str, Any], computed: Mapping[str, Any]) -> Iterator[Finding]:
    """Compare a recommendation with the order."""
    said = content.get("recommendation")
    if said is None:
        return
    named = said["alternative"]
    if named in computed["excluded"]:
        yield Finding(Kind.EXCLUDED_RECOMMENDED, named, computed["excluded"][named][0])
    elif named != computed["leader"]:
        yield Finding(Kind.NOT_LEADER, named or "", computed["leader"])
    for place, condition in enumerate(said.get("conditions", ())):
        if condition.get("rests_on") is None:
            yield Finding(Kind.CONDITION_OUTSIDE, f"recommendation.conditions[{place}]", "")


def of_words(content: Mapping[str, Any], computed: Mapping[str, Any]) -> Iterator[Finding]:
    """Find numerals and figures that come neither from code nor from an input."""
    # Numbers of inputs may be repeated in words; all others have to come by a figure's place, which code fills in.
    known = texts.numbers([content[name] for name in INPUTS])
    for part in PARTS:
        if part not in INPUTS and part in content:
            for place, text in texts.words(content[part], part):
                yield from _of_text(place, text, known, computed)


def _of_text(place: str, text: str, known: frozenset[float], computed: Mapping[str, Any]) -> Iterator[Finding]:
    for figure in texts.fill(text, computed).unknown:
        yield Finding(Kind.UNKNOWN_FIGURE, place, figure)
    for numeral in texts.unbound(text, known):
        yield Finding(Kind.UNBOUND, place, numeral)


def mismatches(found: Sequence[Finding]) -> int:
    """Count what somebody said and does not hold."""
    return sum(each.kind in MISMATCHES for each in found)
