"""What is wanted, and what may be seen, as SQL conditions."""

import operator
from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, and_, column, func, literal_column, or_, select, table, union_all

from worker.domain.conversations import Filter, Limits, MessageFilter
from worker.transcript.cursor import micros
from worker.transcript.tables import WORDS_INDEX, messages, sessions
from worker.transcript.words import clean, fts5_query, ts_query

Condition = ColumnElement[bool]

ANSWER: Condition = and_(messages.c.role == literal_column("'agent'"), ~messages.c.is_between)
"""A message is an answer. Its role is literal: an index of some rows is only found by what looks the same."""


def wanted(filter_: Filter) -> Iterator[Condition]:
    """Conditions on sessions."""
    for name in ("engine", "business_key", "assistant"):
        if (value := getattr(filter_, name)) is not None:
            yield sessions.c[name] == clean(value)
    if filter_.instance is not None:
        yield _with_instance(clean(filter_.instance))
    if filter_.definition_key is not None:
        yield sessions.c.id.in_(_spoken_in_process(filter_.definition_key, "session_id"))
    if filter_.tenants is not None:
        yield sessions.c.tenant.in_([clean(tenant) for tenant in sorted(filter_.tenants)])
    if filter_.active is not None:
        yield sessions.c.is_active if filter_.active else ~sessions.c.is_active
    yield from _timed(filter_)


def _timed(filter_: Filter) -> Iterator[Condition]:
    for time, compares, limit in (
        (sessions.c.last_at, operator.ge, filter_.since),
        (sessions.c.started_at, operator.lt, filter_.until),
        (sessions.c.ended_at, operator.le, filter_.ended_until),
    ):
        if limit is not None:
            yield compares(time, limit)
    for is_wanted, at in (
        (filter_.thread_erased, sessions.c.thread_erased_at),
        (filter_.anonymised, sessions.c.anonymised_at),
    ):
        if is_wanted is not None:
            yield at.is_not(None) if is_wanted else at.is_(None)


def _with_instance(instance: str) -> Condition:
    own = select(sessions.c.id).where(sessions.c.process_instance_id == instance)
    spoken_in = select(messages.c.session_id).where(messages.c.process_instance_id == instance)
    return sessions.c.id.in_(union_all(own, spoken_in))


def of_process(filter_: Filter) -> Iterator[Condition]:
    """Condition on messages: they were said in the wanted process, on whosever conversation."""
    if filter_.definition_key is not None:
        yield messages.c.process_instance_id.in_(_spoken_in_process(filter_.definition_key, "process_instance_id"))


def _spoken_in_process(key: str, column: str) -> Select[Any]:
    """Find what was said in a process by its definition's id, which an index has; a long one does not name it."""
    said, whose, wanted = messages.alias(), sessions.alias(), clean(key)
    named = said.c.definition_id.startswith(f"{wanted}:", autoescape=True)
    unnamed = ~said.c.definition_id.contains(":") & (whose.c.definition_key == wanted)
    answers = said.c.role == literal_column("'agent'")
    return select(said.c[column]).join(whose, whose.c.id == said.c.session_id).where(answers, named | unnamed)


def seen(limits: Limits) -> Iterator[Condition]:
    """Conditions on sessions that keep a reader within the limits."""
    if limits.tenants is not None:
        named = sessions.c.tenant.in_(sorted(clean(tenant) for tenant in limits.tenants if tenant is not None))
        yield or_(named, sessions.c.tenant.is_(None)) if None in limits.tenants else named
    if limits.instances is not None:
        yield sessions.c.process_instance_id.in_(sorted(map(clean, limits.instances)))


def said(filter_: MessageFilter) -> Iterator[Condition]:
    """Conditions on messages."""
    for name, value in (
        ("session_id", filter_.session_id),
        ("process_instance_id", filter_.instance),
        ("activity_id", filter_.activity_id),
    ):
        if value is not None:
            yield messages.c[name] == clean(value)
    if filter_.engine is not None:
        yield sessions.c.engine == clean(filter_.engine)
    if filter_.since is not None:
        yield sessions.c.last_at >= filter_.since
        yield messages.c.position >= micros(filter_.since)


def found(asked: str, *, sqlite: bool) -> Condition | None:
    """Condition on messages that have all words of a text; None if it has no words."""
    query = fts5_query(asked) if sqlite else ts_query(asked)
    if not query:
        return None
    if sqlite:
        numbers = select(column("rowid", Integer())).select_from(table(WORDS_INDEX))
        return messages.c.number.in_(numbers.where(literal_column(WORDS_INDEX).op("MATCH")(query)))
    # Written like the index, or it would not be used.
    vector = func.to_tsvector(literal_column("'simple'"), messages.c.words)
    return vector.op("@@", is_comparison=True)(func.to_tsquery(literal_column("'simple'"), query))


def behind(first: ColumnElement[Any], second: ColumnElement[Any], number: Any, name: str) -> Condition:
    """Rows after a place, in rising order."""
    return or_(first > number, and_(first == number, second > clean(name)))


def before(first: ColumnElement[Any], second: ColumnElement[Any], number: Any, name: str) -> Condition:
    """Rows after a place, in falling order."""
    return or_(first < number, and_(first == number, second < clean(name)))
