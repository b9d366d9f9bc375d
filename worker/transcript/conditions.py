"""What is wanted, and what may be seen, as SQL conditions."""

import operator
from collections.abc import Iterator
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Select,
    and_,
    case,
    column,
    exists,
    func,
    literal_column,
    or_,
    select,
    table,
    true,
    union_all,
)

from worker.domain.conversations import Definitions, Filter, Limits, MessageFilter, Subject, micros
from worker.domain.threads import BRANCH_SCOPE, PERSON_SCOPE, SHARED_SCOPE
from worker.transcript.tables import WORDS_INDEX, messages, sessions
from worker.transcript.words import clean, fts5_query, ts_query

Condition = ColumnElement[bool]

_ESCAPE = "/"

ANSWER: Condition = and_(messages.c.role == literal_column("'agent'"), ~messages.c.is_between)
"""A message is an answer. Its role is literal: an index of some rows is only found by what looks the same."""

FREE: Condition = func.substr(
    sessions.c.scope, literal_column("1"), literal_column(str(len(PERSON_SCOPE)))
) == literal_column(f"'{PERSON_SCOPE}'")
"""A session is of a person, beside all processes. Literal as above."""

QUESTION: Condition = and_(messages.c.role == literal_column("'user'"), ~messages.c.is_between)
"""A message is a question. Literal as above."""


def wanted(filter_: Filter) -> Iterator[Condition]:
    """Conditions on sessions."""
    if filter_.engine is not None:
        yield sessions.c.engine == clean(filter_.engine)
    for name in ("business_key", "assistant"):
        if (value := getattr(filter_, name)) is not None:
            yield _matches(sessions.c[name], value, part=filter_.parts)
    if filter_.instance is not None:
        yield _with_instance(clean(filter_.instance))
    if filter_.definition_key is not None:
        yield sessions.c.id.in_(_spoken_in_process(filter_, filter_.definition_key, "session_id"))
    if filter_.tenants is not None:
        yield sessions.c.tenant.in_([clean(tenant) for tenant in sorted(filter_.tenants)])
    if filter_.active is not None:
        yield sessions.c.is_active if filter_.active else ~sessions.c.is_active
    if filter_.free is not None:
        yield FREE if filter_.free else ~FREE
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
    # Each of the two has an index of its own, which an OR over both tables would not use.
    return sessions.c.id.in_(union_all(own, spoken_in))


def of_process(filter_: Filter) -> Iterator[Condition]:
    """Condition on messages: they were said in the wanted process, on whosever conversation."""
    if filter_.definition_key is not None:
        yield messages.c.process_instance_id.in_(
            _spoken_in_process(filter_, filter_.definition_key, "process_instance_id")
        )


def _spoken_in_process(filter_: Filter, key: str, column: str) -> Select[Any]:
    """Find what was said in a process by its definition's id, which an index has; a long one does not name it."""
    said, whose = messages.alias(), sessions.alias()
    of_these = [_of_definition(said, whose, each) for each in sorted(filter_.or_definitions)]
    of_these.append(_of_definition(said, whose, key, part=filter_.parts))
    answers = said.c.role == literal_column("'agent'")
    return select(said.c[column]).join(whose, whose.c.id == said.c.session_id).where(answers, or_(*of_these))


def _of_definition(said: FromClause, whose: FromClause, key: str, *, part: bool = False) -> Condition:
    wanted = clean(key)
    if part:
        # Behind the key stand a version and a number, which the part is not looked for in.
        named: Condition = said.c.definition_id.ilike(f"%{_literal(wanted)}%:%:%", escape=_ESCAPE)
    else:
        # Not by LIKE, to which SQLite's letters are all the same.
        named = func.substr(said.c.definition_id, 1, len(wanted) + 1) == f"{wanted}:"
    return named | (~said.c.definition_id.contains(":") & _matches(whose.c.definition_key, key, part=part))


def _matches(value: ColumnElement[str], wanted: str, *, part: bool) -> Condition:
    return value.icontains(clean(wanted), autoescape=True) if part else value == clean(wanted)


def _literal(text: str) -> str:
    """Take the meaning from what has one in a pattern."""
    for sign in (_ESCAPE, "%", "_"):
        text = text.replace(sign, _ESCAPE + sign)
    return text


def seen(limits: Limits) -> Iterator[Condition]:
    """Conditions on sessions that keep a reader within the limits."""
    if limits.tenants is not None:
        yield of_tenants(sessions.c.tenant, limits.tenants)
    if limits.instances is not None:
        yield sessions.c.process_instance_id.in_(sorted(map(clean, limits.instances)))
        # It belongs to the instance that was asked about, and knows what all that share the conversation said.
        yield ~_begins(sessions.c.scope, BRANCH_SCOPE + SHARED_SCOPE)
    if limits.persons is not None:
        theirs = [of_person(sessions.c.scope, Subject("", person=each)) for each in sorted(limits.persons)]
        yield or_(and_(~FREE, ~_begins(sessions.c.scope, BRANCH_SCOPE + PERSON_SCOPE)), *theirs)


def in_instances(limits: Limits) -> Iterator[Condition]:
    """Condition on messages: the instance in which they were said may be seen itself."""
    if limits.instances is not None:
        yield messages.c.process_instance_id.in_(sorted(map(clean, limits.instances)))


def _begins(scope: ColumnElement[str], text: str) -> Condition:
    # Not LIKE: ids may hold its signs, and SQLite's takes no notice of upper and lower case.
    return func.substr(scope, 1, len(text)) == text


def of_tenants(tenant: ColumnElement[Any], allowed: frozenset[str | None]) -> Condition:
    """Whether a tenant is one of these. None among them stands for what has none."""
    named = tenant.in_(sorted(clean(each) for each in allowed if each is not None))
    return or_(named, tenant.is_(None)) if None in allowed else named


def of_person(scope: ColumnElement[str], subject: Subject) -> Condition:
    """Whether a scope is one of a person's conversations beside all processes, or the one that is meant."""
    begins = clean(f"{PERSON_SCOPE}{subject.person}:")
    # Earlier workers have put remarks beside such a conversation.
    if subject.chat is not None:
        named = begins + clean(subject.chat)
        return scope.in_([named, BRANCH_SCOPE + named])
    return or_(_begins(scope, begins), _begins(scope, BRANCH_SCOPE + begins))


def of_definitions(allowed: Definitions, *, sqlite: bool) -> Iterator[Condition]:
    """Condition on sessions that keeps a reader within these processes; what is of none is not concerned."""
    trunk = sessions.alias("trunk")
    beside = and_(
        trunk.c.engine == sessions.c.engine,
        trunk.c.assistant == sessions.c.assistant,
        trunk.c.tenant.is_not_distinct_from(sessions.c.tenant),
        trunk.c.scope == func.substr(sessions.c.scope, len(BRANCH_SCOPE) + 1),
    )
    its_trunk = and_(beside, _of_these(trunk, allowed, sqlite=sqlite))
    # One of the two is the same on both, and has an index, which the scope has not.
    both = (
        trunk.c.process_instance_id == sessions.c.process_instance_id,
        trunk.c.business_key == sessions.c.business_key,
    )
    seen_beside = or_(~_begins(sessions.c.scope, BRANCH_SCOPE), *(exists().where(its_trunk, same) for same in both))
    yield or_(FREE, and_(_of_these(sessions, allowed, sqlite=sqlite), seen_beside))


def _of_these(whose: FromClause, allowed: Definitions, *, sqlite: bool) -> Condition:
    """Whether all who spoke on a session may be seen, and the process that it is of."""
    own = _may(whose, allowed, whose.c.definition_key, whose.c.process_instance_id)
    return and_(own, ~_has_others(whose, allowed, sqlite=sqlite))


def _may(whose: FromClause, allowed: Definitions, key: ColumnElement[Any], instance: ColumnElement[Any]) -> Condition:
    """Whether an instance of a process may be seen, which runs or is over as its session does."""
    running = or_(key.in_(sorted(allowed.running)), instance.in_(sorted(allowed.instances)))
    return case((whose.c.is_active, running), else_=key.in_(sorted(allowed.ended)))


def _has_others(whose: FromClause, allowed: Definitions, *, sqlite: bool) -> Condition:
    """Whether a process that may not be seen spoke on a session: one that was called, or shares a business key."""
    said = messages.alias()
    id_ = said.c.definition_id
    named = func.substr(id_, 1, func.instr(id_, ":") - 1) if sqlite else func.split_part(id_, ":", 1)
    # What names no process is nobody's to see.
    key = func.coalesce(case((id_.contains(":"), named), else_=whose.c.definition_key), "")
    answers = said.c.role == literal_column("'agent'")
    may = _may(whose, allowed, key, said.c.process_instance_id)
    # Not NOT: of what is NULL that is NULL again, and the process would count as one that may be seen.
    return exists().where(said.c.session_id == whose.c.id, answers, may.is_not(true()))


def said(filter_: MessageFilter) -> Iterator[Condition]:
    """Conditions on messages."""
    for name, value in (
        ("id", filter_.id),
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
