"""The arithmetic of an evaluation: values, scores, weighted sums, dominance, swap points."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from worker.demo.model.drones import Alternative, Objective, value


@dataclass(frozen=True, slots=True)
class Table:
    """Alternatives by objectives, in the measures of the objectives."""

    values: Mapping[str, Mapping[str, float]]
    less: Mapping[str, bool]

    @classmethod
    def of(cls, alternatives: Sequence[Alternative], objectives: Sequence[Objective]) -> Self:
        """The table of these alternatives; names lead."""
        return cls(
            {each.name: {o.name: value(each, o) for o in objectives} for each in alternatives},
            {objective.name: objective.less for objective in objectives},
        )

    def without(self, names: Collection[str]) -> Self:
        """The same without these alternatives."""
        return type(self)({name: row for name, row in self.values.items() if name not in names}, self.less)

    @property
    def scores(self) -> dict[str, dict[str, float]]:
        """Points from 0, the worst value of an objective in this table, to 100, the best; not rounded."""
        return {name: self.scored(row) for name, row in self.values.items()}

    def scored(self, row: Mapping[str, float]) -> dict[str, float]:
        """The points of a row, of this table or not, on the scale of this table."""
        return {o: self._score(o, row[o]) for o in self.less}

    def _score(self, objective: str, found: float) -> float:
        column = [row[objective] for row in self.values.values()]
        worst, best = (max(column), min(column)) if self.less[objective] else (min(column), max(column))
        return 100 if worst == best else 100 * abs(found - worst) / abs(best - worst)

    def dominated(self) -> list[str]:
        """Who is nowhere better and somewhere worse than another one."""
        signed = {
            name: [-row[o] if less else row[o] for o, less in self.less.items()] for name, row in self.values.items()
        }
        return [
            name
            for name, mine in signed.items()
            if any(
                theirs != mine and all(t >= m for t, m in zip(theirs, mine, strict=True)) for theirs in signed.values()
            )
        ]

    def ranking(
        self, weights: Mapping[str, int], names: Collection[str], changed: Mapping[str, Mapping[str, float]]
    ) -> dict[str, float]:
        """The weighted sums of these alternatives, best first, with `changed` values; weights add up to 100."""
        rows = {name: {**self.values[name], **changed.get(name, {})} for name in self.values if name in names}
        sums = {name: weighted(weights, self.scored(row)) for name, row in rows.items()}
        return dict(sorted(sums.items(), key=lambda entry: entry[1], reverse=True))


def weighted(weights: Mapping[str, int], scores: Mapping[str, float]) -> float:
    """Weight times score / 100, added up."""
    return sum(weights[name] * score for name, score in scores.items()) / 100


def swap(
    weights: Mapping[str, int], first: Mapping[str, float], second: Mapping[str, float]
) -> tuple[str, float] | None:
    """The nearest weight at which two alternatives draw level, the others keeping their proportions to each other."""
    ahead = {name: first[name] - second[name] for name in weights}
    total = sum(weights[name] * ahead[name] for name in weights)
    found = {}
    for name, weight in weights.items():
        if weight < 100 and (total - weight * ahead[name]) != (100 - weight) * ahead[name]:  # noqa: PLR2004 - all of it
            rest = (total - weight * ahead[name]) / (100 - weight)
            found[name] = 100 * rest / (rest - ahead[name])
    level = {name: weight for name, weight in found.items() if 0 <= weight <= 100}  # noqa: PLR2004 - per cent
    if not level:
        return None
    nearest = min(level, key=lambda name: abs(level[name] - weights[name]))
    return nearest, level[nearest]
