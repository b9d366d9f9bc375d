"""What answers took and cost together, as SQL and back."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import ColumnElement, RowMapping, Select, func, literal_column, select

from worker.domain.conversations import By, Spent
from worker.domain.money import Money
from worker.domain.processes import definition
from worker.transcript.conditions import ANSWER
from worker.transcript.cursor import time_of
from worker.transcript.tables import BIG, messages, sessions

_DAY: Final = 86_400_000_000
_TOKENS: Final = ("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
_COMMON: Final[Mapping[By, tuple[ColumnElement[Any], ...]]] = {
    "all": (),
    "instance": (messages.c.process_instance_id.label("name"),),
    # A process that speaks on its caller's conversation goes by its own name, as far as that is in its definition's id.
    "definition": (sessions.c.definition_key.label("name"), messages.c.definition_id),
    # Both literal: an index or a group is only found by what looks the same.
    "day": ((messages.c.position // literal_column(str(_DAY), BIG)).label("name"),),
    "assistant": (sessions.c.assistant.label("name"),),
    "model": (messages.c.model.label("name"),),
}


def query(by: By) -> Select[Any]:
    """Select the sums of each group and currency."""
    common = (*_COMMON[by], messages.c.currency)
    sums = [func.coalesce(func.sum(messages.c[name]), 0).label(name) for name in (*_TOKENS, "cost")]
    return (
        select(*common, func.count().label("answers"), func.count(messages.c.cost).label("priced"), *sums)
        .join_from(messages, sessions)
        .where(ANSWER)
        .group_by(*common)
    )


def read(by: By, rows: Iterable[RowMapping]) -> dict[str, Spent]:
    """Read the sums, by name."""
    found = dict[str, Spent]()
    for row in rows:
        name = _name(by, row)
        found[name] = _added(found.get(name, Spent()), row)
    if by == "day":
        return dict(sorted(found.items()))
    return dict(sorted(found.items(), key=lambda each: (*_dearness(each[1]), each[0])))


def _name(by: By, row: RowMapping) -> str:
    match by:
        case "all":
            return ""
        case "day":
            return time_of(int(row["name"]) * _DAY).date().isoformat()
        case "definition":
            named = definition(row["definition_id"])
            return named[0] if named else str(row["name"])
    return row["name"] or ""


def _added(spent: Spent, row: RowMapping) -> Spent:
    # PostgreSQL's sums are Decimal.
    tokens = {name: getattr(spent, name) + int(row[name]) for name in _TOKENS}
    unpriced = spent.unpriced + row["answers"] - row["priced"]
    amounts = {each.currency: each.billionths for each in spent.cost}
    if row["priced"]:
        currency = str(row["currency"])
        amounts[currency] = amounts.get(currency, 0) + int(row["cost"])
    cost = tuple(Money.of(amount, currency) for currency, amount in sorted(amounts.items()))
    return replace(spent, answers=spent.answers + row["answers"], unpriced=unpriced, cost=cost, **tokens)


def _dearness(spent: Spent) -> tuple[int, int]:
    """Sort by money, whatever the currency, and then by tokens."""
    return -max((each.billionths for each in spent.cost), default=0), -spent.input_tokens - spent.output_tokens
