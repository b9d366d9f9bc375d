"""All that code computes of a record's parts, as it stands in the record. Pure; takes too long for the loop."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any, Final

from worker.decisions import agreement, findings, problem, sampling, sensitivity, sums
from worker.decisions.problem import Problem
from worker.decisions.sampling import SAMPLES, SEED, Chances
from worker.decisions.sums import DIGITS, Order, Values
from worker.errors import BadRecord

METHOD: Final = "additive-value/1"
"""How it is computed. Whoever changes a figure that the same parts lead to counts it up."""


def compute(content: Mapping[str, Any], *, samples: int = SAMPLES, seed: int = SEED) -> dict[str, Any]:
    """Compute what parts come to. `content` has them by name, in their form, with their texts; scores by judge.

    The same parts lead to the same figures, rounded to 12 digits. `leader`, `lead`, `first_share`, `agreement` and
    `mismatches` are never null: `leader` is empty where fewer than two alternatives can be ranked, `first_share` 0
    where nothing is said to be uncertain, `agreement` not_measured where there is none to be measured. Raises
    BadRecord, and Permanent where the extra is not installed.
    """
    given = problem.read(content)
    if wrong := problem.wrong_references(content):
        raise BadRecord(f"the record contradicts itself: {'; '.join(wrong)}")
    computed = _figures(given, samples, seed)
    found = [
        *findings.of_limits(given),
        *findings.of_scores(given),
        *findings.of_order(computed),
        *findings.of_recommendation(content, computed),
        *findings.of_words(content, computed),
    ]
    return computed | {"findings": _plain(found), "mismatches": findings.mismatches(found)}


def tried(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Compute what one set of weights comes to: its shares, and the order by them. Raises BadRecord."""
    given = problem.read(content)
    worth = sums.values(given, given.pooled)
    out = sums.excluded(given)
    order = sensitivity.by_set(given, worth, [each for each in given.alternatives if each not in out])[name]
    found: dict[str, Any] = _plain({"shares": given.shares[name]} | _order(order))
    return found


def _figures(given: Problem, samples: int, seed: int) -> dict[str, Any]:
    worth = sums.values(given, given.pooled)
    totals = sums.sums(worth, given.weights)
    out = sums.excluded(given)
    order = sums.order(totals, [each for each in given.alternatives if each not in out])
    among = order.order
    ranked = {each: worth[each] for each in among}
    figures = {
        "method": {"name": METHOD, "samples": samples, "seed": seed},
        "leader": order.leader,
        "lead": order.lead,
        "shares": given.weights,
        "scores": _table({place: cell.base for place, cell in given.pooled.items()}),
        "values": worth,
        "sums": totals,
        "ranking": among,
        "excluded": out,
        "limits": sums.limits(given),
        "dominance": [{"over": over, "under": under} for over, under in sums.dominance(ranked, among)],
        "sets": {
            name: {"shares": given.shares[name]} | _order(each)
            for name, each in sensitivity.by_set(given, worth, among).items()
        },
        "without_criterion": _orders(sensitivity.without_criterion(given, worth, among)),
        **_judges(given, among),
    }
    of_ranking = _of_ranking(given, ranked, order, samples, seed) if order.leader else _NOTHING
    return {name: _plain(figure) for name, figure in (figures | of_ranking).items()}


def _of_ranking(given: Problem, ranked: Values, order: Order, samples: int, seed: int) -> dict[str, Any]:
    drawn = sampling.chances(given, order.order, order.leader, samples=samples, seed=seed)
    return {
        "first_share": drawn.over_scores[order.leader][0] if drawn.is_uncertain else 0.0,
        "swaps": sensitivity.swaps(ranked, given.weights, order.leader),
        "fifths": {
            criterion: {side: {"share": share} | _order(each) for side, (share, each) in sides.items()}
            for criterion, sides in sensitivity.fifths(ranked, given.weights).items()
        },
        "tornado": sensitivity.tornado(given, order.leader, order.order),
        **_chances(drawn),
    }


def _chances(drawn: Chances) -> dict[str, Any]:
    return {name: getattr(drawn, name) for name in Chances.__dataclass_fields__}


_NOTHING: Final[dict[str, Any]] = {
    "first_share": 0.0,
    "swaps": {},
    "fifths": {},
    "tornado": [],
    **_chances(Chances(False, {}, {}, {}, {}, 0.0, {}, 0.0)),
}
"""Where there is no ranking, nothing can change it."""


def _judges(given: Problem, among: Sequence[str]) -> dict[str, Any]:
    orders = agreement.orders(given, among)
    measured = agreement.kendall_w([each.sums for each in orders.values()])
    return {
        "judges": _orders(orders),
        "kendall_w": measured,
        "agreement": agreement.agreement(measured),
        "spreads": agreement.spreads(given),
        "without_judge": _orders(agreement.without_judge(given, among)),
    }


def _orders(orders: Mapping[str, Order]) -> dict[str, Any]:
    return {each: _order(order) for each, order in orders.items()}


def _order(order: Order) -> dict[str, Any]:
    return {"sums": order.sums, "ranking": order.order, "leader": order.leader, "lead": order.lead}


def _table(cells: Mapping[tuple[str, str], float]) -> dict[str, dict[str, float]]:
    table = dict[str, dict[str, float]]()
    for (row, column), figure in cells.items():
        table.setdefault(row, {})[column] = figure
    return table


def _plain(value: Any) -> Any:
    """Make JSON of it, every figure rounded, so that the last digits of a processor make no other record."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, float):
        # Of -0.0 this makes 0.0, which reads and is hashed in one way only.
        return round(value, DIGITS) + 0.0
    if isinstance(value, str):
        # Also of words of an enumeration, which are no plain texts to `hashing`.
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
