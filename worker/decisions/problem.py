"""A decision in numbers: what of a record's parts is computed with, every id looked up. Pure."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, pvariance
from typing import Any, Final

from worker.decisions.schemas import INPUTS, WHAT_IFS, lacking
from worker.errors import BadRecord

MOST_JUDGES: Final = 50
MOST_CELLS: Final = 1000
"""Alternatives times criteria: a computation goes on in a thread, where nobody can break it off."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A score in its unit: what is thought, and from where to where it may be; or its standard deviation instead."""

    base: float
    low: float
    high: float
    sd: float = 0.0

    @property
    def is_sure(self) -> bool:
        """Whether nobody has said that it may be otherwise."""
        return self.low == self.high and not self.sd

    @property
    def ends(self) -> tuple[float, float]:
        """From where to where it goes in a tornado: its range, or one standard deviation to each side."""
        return (self.base - self.sd, self.base + self.sd) if self.sd else (self.low, self.high)


@dataclass(frozen=True, slots=True)
class Criterion:
    """A leaf of the objectives. `points` are (score, value), the scores rising; beyond them no value changes."""

    id: str
    points: tuple[tuple[float, float], ...]

    def value(self, score: float) -> float:
        """Say what a score is worth, from 0 to 1."""
        if score <= self.points[0][0]:
            return self.points[0][1]
        for (at, worth), (next_at, next_worth) in pairwise(self.points):
            if score <= next_at:
                return worth + (next_worth - worth) * (score - at) / (next_at - at)
        return self.points[-1][1]


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """Something that is not known. `cells` are the scores, by alternative and criterion, that move with it together.

    Each has the range (low, high) that it moves over; a high that is below its low moves against the others.
    """

    id: str
    cells: Mapping[tuple[str, str], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound on a criterion's score; with `criterion` None one that no number decides."""

    id: str
    is_hard: bool
    criterion: str | None
    at_least: float
    at_most: float


@dataclass(frozen=True, slots=True)
class Problem:
    """What is computed with. Alternatives and criteria stand in the order of their ids.

    `scores` are the judges', `pooled` all judges' together. `shares` are the weights of the criteria by set, each set
    with the sum 1; `base` names the set that ranks. `screening` is who says, by alternative and limit, that it is kept.
    """

    alternatives: tuple[str, ...]
    criteria: tuple[Criterion, ...]
    scores: Mapping[str, Mapping[tuple[str, str], Cell]]
    pooled: Mapping[tuple[str, str], Cell]
    shares: Mapping[str, Mapping[str, float]]
    base: str
    uncertainties: tuple[Uncertainty, ...]
    limits: tuple[Limit, ...]
    screening: Mapping[str, Mapping[str, bool]]

    @property
    def weights(self) -> Mapping[str, float]:
        """The shares that rank."""
        return self.shares[self.base]


def read(content: Mapping[str, Any]) -> Problem:
    """Look up all that is computed with. `content` has parts in their form, by name; scores by judge.

    Raises BadRecord, which names every part that is missing, every id that leads nowhere, and what no number can be
    made of.
    """
    if missing := lacking(content, "computed"):
        raise BadRecord(f"the record lacks {', '.join(missing)}, and cannot be computed")
    if not content["scores"]:
        raise BadRecord("the record lacks scores of at least one judge, and cannot be computed")
    if len(content["scores"]) > MOST_JUDGES:
        raise BadRecord(
            f"the record has scores of {len(content['scores'])} judges, and {MOST_JUDGES} at most are computed"
        )
    reader = _Reader({name: content[name] for name in INPUTS}, content.get(WHAT_IFS, {}).get("sets", ()))
    problem = reader.read()
    if len(problem.alternatives) * len(problem.criteria) > MOST_CELLS:
        raise BadRecord(
            f"the record has {len(problem.alternatives)} alternatives and {len(problem.criteria)} criteria; at most "
            f"{MOST_CELLS} scores of one judge are computed: screen alternatives, or bring criteria together"
        )
    if reader.wrong:
        raise BadRecord(f"the record contradicts itself: {'; '.join(dict.fromkeys(reader.wrong))}")
    return problem


def wrong_references(content: Mapping[str, Any]) -> list[str]:
    """Say which ids of a recommendation lead nowhere."""
    said = content.get("recommendation")
    if not said:
        return []
    frame = content.get("frame", {})
    known = {each["id"] for each in content.get("alternatives", {}).get("alternatives", ())}
    grounds = {each["id"] for name in ("limits", "assumptions", "uncertainties") for each in frame.get(name, ())}
    named = said["alternative"]
    wrong = [] if named is None or named in known else [f"the recommendation names no alternative: {named}"]
    rests = [each.get("rests_on") for each in said.get("conditions", ())]
    return wrong + [
        f"a condition rests on {each}, which is no uncertainty, limit or assumption"
        for each in rests
        if each is not None and each not in grounds
    ]


class _Reader:
    """Reads the parts of one record, and gathers what is wrong with them instead of stopping at the first."""

    def __init__(self, parts: Mapping[str, Any], what_ifs: Iterable[Mapping[str, Any]]) -> None:
        self.wrong: list[str] = []
        self.frame = parts["frame"]
        self.sets = [*parts["weights"]["sets"], *({**each, "kind": "what_if"} for each in what_ifs)]
        self.by_judge = parts["scores"]
        self.objectives = self._by_id("objective", parts["objectives"]["objectives"])
        self.alternatives = self._by_id("alternative", parts["alternatives"]["alternatives"])
        self.children: dict[str | None, list[str]] = {}
        for name, each in self.objectives.items():
            self.children.setdefault(each.get("parent"), []).append(name)
        self.leaves = sorted(name for name in self.objectives if name not in self.children)

    def read(self) -> Problem:
        self._tree()
        criteria = tuple(filter(None, map(self._criterion, self.leaves)))
        scores = {judge: self._scores(judge, self.by_judge[judge]["scores"]) for judge in sorted(self.by_judge)}
        pooled = pool(scores)
        sets = self._by_id("set of weights", self.sets)
        bases = [name for name, each in sets.items() if each["kind"] == "base"]
        self._need(len(bases) == 1, f"one set of weights has to be the base, and {len(bases)} are")
        return Problem(
            tuple(sorted(self.alternatives)),
            criteria,
            scores,
            pooled,
            {name: self._shares(each) for name, each in sorted(sets.items())},
            bases[0] if bases else "",
            self._uncertainties(),
            self._limits(),
            {name: self._screening(name, each) for name, each in sorted(self.alternatives.items())},
        )

    def _need(self, holds: bool, otherwise: str) -> bool:
        if not holds:
            self.wrong.append(otherwise)
        return holds

    def _by_id(self, what: str, items: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
        for name, count in Counter(each["id"] for each in items).items():
            self._need(count == 1, f"{count} are the {what} {name}")
        return {each["id"]: each for each in items}

    def _tree(self) -> None:
        reached, waiting = set[str](), list(self.children.get(None, ()))
        while waiting:
            name = waiting.pop()
            reached.add(name)
            waiting.extend(self.children.get(name, ()))
        for name, each in self.objectives.items():
            parent = each.get("parent")
            if self._need(parent is None or parent in self.objectives, f"{name} has no parent {parent}"):
                self._need(name in reached or parent not in self.objectives, f"{name} stands below itself")

    def _criterion(self, name: str) -> Criterion | None:
        scale = self.objectives[name].get("value")
        if scale is None:
            self.wrong.append(f"{name} has no value function, and nothing stands below it")
            return None
        ends = [(scale["walk_away"], 0.0), (scale["ideal"], 1.0)]
        between = [(each["at"], each["value"]) for each in scale.get("between", ())]
        points = sorted([*ends, *between])
        worth = [value for _, value in points]
        rises = len({at for at, _ in points}) == len(points) and worth in (sorted(worth), sorted(worth, reverse=True))
        inside = {points[0], points[-1]} == set(ends)
        self._need(rises and inside, f"the value function of {name} does not go one way from walk_away to ideal")
        return Criterion(name, tuple(points))

    def _is_cell(self, where: str, each: Mapping[str, Any]) -> bool:
        alternative, criterion = each["alternative"], each["criterion"]
        return all(
            [
                self._need(alternative in self.alternatives, f"{where} names no alternative: {alternative}"),
                self._need(criterion in self.leaves, f"{where} names no criterion: {criterion}"),
            ]
        )

    def _scores(self, judge: str, rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Cell]:
        cells = dict[tuple[str, str], Cell]()
        for each in rows:
            place = (each["alternative"], each["criterion"])
            where = f"{judge}'s score of {'/'.join(place)}"
            if not self._is_cell(where, each):
                continue
            base, sd = float(each["base"]), each.get("sd") or 0.0
            low, high = (base if each.get(name) is None else each[name] for name in ("low", "high"))
            self._need(place not in cells, f"{where} is there twice")
            self._need(low <= base <= high, f"{where} is not from low to high")
            self._need(low == high or not sd, f"{where} has a range and a standard deviation")
            cells[place] = Cell(base, low, high, sd)
        return cells

    def _shares(self, each: Mapping[str, Any]) -> dict[str, float]:
        name, stakeholder = each["id"], each.get("stakeholder")
        known = {one["id"] for one in self.frame.get("stakeholders", ())}
        self._need(stakeholder is None or stakeholder in known, f"the weights {name} are of nobody: {stakeholder}")
        points = {one["objective"]: one["points"] for one in each["points"]}
        self._need(len(points) == len(each["points"]), f"the weights {name} name an objective twice")
        all_named, leaves = set(self.objectives), set(self.leaves)
        for unknown in sorted(points.keys() - all_named):
            self.wrong.append(f"the weights {name} name no objective: {unknown}")
        # Given to the criteria alone, or to every objective: then each level shares out what its parent has.
        if points.keys() <= leaves:
            for lacks in sorted(leaves - points.keys()):
                self.wrong.append(f"the weights {name} lack {lacks}")
            return self._normal(name, {leaf: points.get(leaf, 0.0) for leaf in self.leaves})
        for lacks in sorted(all_named - points.keys()):
            self.wrong.append(f"the weights {name} lack {lacks}")
        return {} if self.wrong else self._multiplied(name, points, None, 1.0)

    def _multiplied(self, name: str, points: Mapping[str, float], parent: str | None, share: float) -> dict[str, float]:
        """Share out a parent's share among its children, down to the leaves."""
        below = self.children.get(parent, [])
        local = self._normal(name, {each: points[each] for each in below})
        shares = dict[str, float]()
        for each in below:
            part = share * local[each]
            shares |= self._multiplied(name, points, each, part) if each in self.children else {each: part}
        return dict(sorted(shares.items()))

    def _normal(self, name: str, points: Mapping[str, float]) -> dict[str, float]:
        total = math.fsum(points.values())
        if not self._need(total > 0, f"the weights {name} are all 0"):
            return dict.fromkeys(points, 0.0)
        return {each: given / total for each, given in points.items()}

    def _uncertainties(self) -> tuple[Uncertainty, ...]:
        taken, found = dict[tuple[str, str], str](), list[Uncertainty]()
        for name, each in self._by_id("uncertainty", self.frame.get("uncertainties", ())).items():
            cells = dict[tuple[str, str], tuple[float, float]]()
            for one in each["cells"]:
                place = (one["alternative"], one["criterion"])
                if self._is_cell(f"the uncertainty {name}", one):
                    other = taken.setdefault(place, name)
                    self._need(
                        place not in cells and other == name,
                        f"the score of {'/'.join(place)} moves with {other} and once more with {name}: join them",
                    )
                    cells[place] = (one["low"], one["high"])
            found.append(Uncertainty(name, cells))
        return tuple(sorted(found, key=lambda each: each.id))

    def _limits(self) -> tuple[Limit, ...]:
        found = list[Limit]()
        for name, each in sorted(self._by_id("limit", self.frame.get("limits", ())).items()):
            criterion, least, most = (each.get(part) for part in ("criterion", "at_least", "at_most"))
            self._need(
                criterion is None or criterion in self.leaves, f"the limit {name} names no criterion: {criterion}"
            )
            self._need(
                criterion is not None or (least is None and most is None), f"the limit {name} bounds no criterion"
            )
            least, most = -math.inf if least is None else least, math.inf if most is None else most
            found.append(Limit(name, each["hard"], criterion, least, most))
        return tuple(found)

    def _screening(self, name: str, each: Mapping[str, Any]) -> dict[str, bool]:
        known = {one["id"] for one in self.frame.get("limits", ())}
        said = {one["limit"]: one["kept"] for one in each.get("screening", ())}
        for unknown in sorted(said.keys() - known):
            self.wrong.append(f"{name} is screened for no limit: {unknown}")
        return said


def pool(scores: Mapping[str, Mapping[tuple[str, str], Cell]]) -> dict[tuple[str, str], Cell]:
    """Take the judges together: the mean, from the lowest that anybody says to the highest."""
    places = sorted({place for cells in scores.values() for place in cells})
    return {place: _pooled([cells[place] for cells in scores.values() if place in cells]) for place in places}


def _pooled(cells: Sequence[Cell]) -> Cell:
    low, high = min(each.low for each in cells), max(each.high for each in cells)
    base = min(max(low, fmean(each.base for each in cells)), high)  # a mean may be off by its last digit
    if not any(each.sd for each in cells):
        return Cell(base, low, high)
    # What one judge is unsure of and what judges differ in add up as variances.
    spread = fmean(_variance(each) for each in cells) + pvariance([each.base for each in cells])
    return Cell(base, base, base, math.sqrt(spread))


def _variance(cell: Cell) -> float:
    low, base, high = cell.low, cell.base, cell.high
    # Of the triangular distribution that `sampling` draws from; a judge who names no range has none.
    triangle = (low**2 + base**2 + high**2 - low * base - low * high - base * high) / 18
    return cell.sd**2 or max(0.0, triangle)
