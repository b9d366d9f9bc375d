"""A record's ranking as sheets of formulas, from points and scores to ranks, as a spreadsheet computes it. Pure.

A formula has nothing of what anybody said: it names cells, and sheets of ours. The first row below a head is row 2.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from worker.decisions import problem
from worker.decisions.problem import Limit
from worker.decisions.sums import DIGITS

FIRST: Final = 2


@dataclass(frozen=True, slots=True)
class Formula:
    """What is computed in a cell, and what that came to for the record; "" where it came to nothing."""

    text: str
    figure: float | str


Cell = str | float | Formula | None
"""A text, a number that may be changed, what is computed of such, or nothing."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet. Columns whose head begins with "Recorded" hold what the record has, and nothing depends on them."""

    title: str
    head: Sequence[str]
    rows: list[list[Cell]] = field(default_factory=list)

    @property
    def next(self) -> int:
        """The number of the row that is added next."""
        return FIRST + len(self.rows)


def sheets(content: Mapping[str, Any]) -> list[Sheet]:
    """Make the sheets of a record's content, its texts in their place; none before it was computed."""
    return [*_Calculation(content).sheets()] if "computed" in content else []


class _Calculation:
    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content = content
        self.computed = content["computed"]
        self.given = problem.read(content)
        self.objectives = {each["id"]: each for each in content["objectives"]["objectives"]}
        named = [*self.objectives.values(), *content["alternatives"]["alternatives"]]
        self.names = {each["id"]: each["name"] for each in named}
        self.share = dict[str, str]()
        self.scale = dict[str, tuple[int, int]]()
        self.score = dict[tuple[str, str], str]()

    def sheets(self) -> Iterator[Sheet]:
        weights, scales = self._weights(), self._scales()
        judges = Sheet("Judges", ["Alternative", "Name", "Criterion", "Name", "Judge", "Score", "Low", "High", "Why"])
        scores = self._scores(judges)
        limits = Sheet("Limits", ["Alternative", "Limit", "Statement", "At least", "At most", "Score", "Kept"])
        yield self._ranking(limits)
        yield from (weights, scales, judges, scores)
        if limits.rows:
            yield limits

    def _weights(self) -> Sheet:
        """Points become shares: each of its siblings', and so of what stands above them."""
        sheet = Sheet("Weights", ["Objective", "Name", "Below", "Points", "Share", "Recorded share"])
        [base] = [each for each in self.content["weights"]["sets"] if each["id"] == self.given.base]
        points = {each["objective"]: each["points"] for each in base["points"]}
        recorded = self.computed["shares"]
        is_flat = points.keys() <= recorded.keys()
        below: dict[str, list[str]] = {}
        for name in points:
            parent = None if is_flat else self.objectives[name].get("parent")
            below.setdefault(parent or "", []).append(name)
        figures = {"": 1.0}
        waiting = [""]
        # Grows on the way: level by level, so that siblings stand in rows below each other, which one SUM takes in.
        for parent in waiting:
            siblings = below.get(parent, [])
            first, last = sheet.next, sheet.next + len(siblings) - 1
            total = math.fsum(points[each] for each in siblings)
            for name in siblings:
                row = sheet.next
                figures[name] = figures[parent] * points[name] / total
                times = f"*{self.share[parent]}" if parent else ""
                share = Formula(f"=D{row}/SUM(D${first}:D${last}){times}", recorded.get(name, figures[name]))
                self.share[name] = f"Weights!$E${row}"
                sheet.rows.append([name, self.names[name], parent, points[name], share, recorded.get(name)])
                waiting.append(name)
        return sheet

    def _scales(self) -> Sheet:
        sheet = Sheet("Scales", ["Criterion", "Name", "Unit", "Score", "Value"])
        for criterion in self.given.criteria:
            first = sheet.next
            unit = self.objectives[criterion.id].get("unit") or ""
            for score, value in criterion.points:
                sheet.rows.append([criterion.id, self.names[criterion.id], unit, score, value])
            self.scale[criterion.id] = (first, sheet.next - 1)
        return sheet

    def _scores(self, judges: Sheet) -> Sheet:
        """Scores of all judges together, and what they are worth; what each judge said is added to `judges`."""
        head = ["Alternative", "Name", "Criterion", "Name", "Score", "Value", "Share", "Weighted"]
        sheet = Sheet("Scores", [*head, "Recorded score", "Recorded value"])
        said = {
            (judge, each["alternative"], each["criterion"]): each
            for judge, scores in sorted(self.content["scores"].items())
            for each in scores["scores"]
        }
        for alternative in self.given.alternatives:
            for criterion in self.computed["shares"]:
                row, place = sheet.next, (alternative, criterion)
                named: list[Cell] = [alternative, self.names[alternative], criterion, self.names[criterion]]
                first = judges.next
                judges.rows.extend(
                    [*named, judge, each["base"], each.get("low"), each.get("high"), each.get("why")]
                    for (judge, *of), each in said.items()
                    if (*of,) == place
                )
                score = self.computed["scores"].get(alternative, {}).get(criterion)
                value = self.computed["values"].get(alternative, {}).get(criterion)
                is_there = score is not None
                mean = Formula(f"=AVERAGE(Judges!F{first}:F{judges.next - 1})", score) if is_there else None
                share = self.computed["shares"][criterion]
                sheet.rows.append(
                    [
                        *named,
                        mean,
                        Formula(f'=IF(ISNUMBER(E{row}),{self._value(criterion, row)},"")', value if is_there else ""),
                        Formula(f"={self.share[criterion]}", share),
                        Formula(f'=IF(ISNUMBER(F{row}),F{row}*G{row},"")', value * share if is_there else ""),
                        score,
                        value,
                    ]
                )
                self.score[place] = f"Scores!$E${row}"
        return sheet

    def _value(self, criterion: str, row: int) -> str:
        """Add up what each piece of the scale, that the score has left behind or stands in, adds to the value."""
        first, last = self.scale[criterion]
        at, to, low, high = (
            f"Scales!${column}${start}:${column}${end}"
            for column in "DE"
            for start, end in ((first, last - 1), (first + 1, last))
        )
        part = f"(E{row}<{to})*(E{row}-{at})/({to}-{at})+(E{row}>={to})"
        return f"Scales!$E${first}+SUMPRODUCT((E{row}>{at})*({high}-{low})*({part}))"

    def _ranking(self, limits: Sheet) -> Sheet:
        """Sums and ranks. What breaks a hard limit, or lacks a score, has no rank; what ties is ordered by id."""
        head = ["Alternative", "Name", "Sum", "Keeps hard limits", "Compared by", "Rank"]
        sheet = Sheet("Ranking", [*head, "Recorded sum", "Recorded rank"])
        among = [*self.computed["ranking"]]
        end = FIRST + len(self.given.alternatives) - 1
        width = len(self.computed["shares"])
        for place, alternative in enumerate(self.given.alternatives):
            row, first = sheet.next, FIRST + place * width
            cells = f"Scores!H{first}:H{first + width - 1}"
            total = self.computed["sums"].get(alternative)
            is_kept = 0.0 if alternative in self.computed["excluded"] else 1.0
            is_ranked = alternative in among
            rank = float(among.index(alternative) + 1) if is_ranked else None
            # RANK has no condition: what takes no part gets -1, below every sum, and no rank behind that.
            compared = f"IF(ISNUMBER(C{row}),IF(D{row}=1,ROUND(C{row},{DIGITS}),-1),-1)"
            ranked = f"RANK(E{row},E${FIRST}:E${end})+COUNTIF(E${FIRST}:E{row},E{row})-1"
            sheet.rows.append(
                [
                    alternative,
                    self.names[alternative],
                    Formula(f'=IF(COUNT({cells})={width},SUM({cells}),"")', "" if total is None else total),
                    Formula(self._kept(alternative, limits), is_kept),
                    Formula(f"={compared}", total if is_ranked and total is not None else -1.0),
                    Formula(f'=IF(E{row}<0,"",{ranked})', "" if rank is None else rank),
                    total,
                    rank,
                ]
            )
        return sheet

    def _kept(self, alternative: str, limits: Sheet) -> str:
        """Add a row to `limits` for each hard one, and say whether all are kept."""
        first = limits.next
        stated = {each["id"]: each["statement"] for each in self.content["frame"].get("limits", ())}
        for limit in self.given.limits:
            if limit.is_hard:
                row = limits.next
                ends = [None if math.isinf(end) else end for end in (limit.at_least, limit.at_most)]
                is_said_broken = self.given.screening[alternative].get(limit.id) is False
                score = self.score.get((alternative, limit.criterion)) if limit.criterion else None
                is_kept = 0.0 if limit.id in self.computed["excluded"].get(alternative, ()) else 1.0
                kept = 0.0 if is_said_broken else Formula(_within(limit, row), is_kept) if score else 1.0
                figure = self.computed["scores"].get(alternative, {}).get(limit.criterion, "")
                shown = Formula(f'=IF(ISNUMBER({score}),{score},"")', figure) if score else None
                limits.rows.append([alternative, limit.id, stated[limit.id], *ends, shown, kept])
        return f"=MIN(Limits!G{first}:G{limits.next - 1})" if limits.next > first else "=1"


def _within(limit: Limit, row: int) -> str:
    """Compare a score with a limit but for its last digits. A score that is missing breaks none."""
    sides = []
    if not math.isinf(limit.at_least):
        sides.append(f"F{row}>=D{row}-ABS(D{row})*1E-{DIGITS}")
    if not math.isinf(limit.at_most):
        sides.append(f"F{row}<=E{row}+ABS(E{row})*1E-{DIGITS}")
    return f"=IF(ISNUMBER(F{row}),IF(AND({','.join(sides)}),1,0),1)" if sides else "=1"
