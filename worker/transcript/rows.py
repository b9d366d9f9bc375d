"""Exchange → rows, and rows → what is read."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, Table

from worker.domain.conversations import REMOVED, Message, Role, Session, message_id, micros, session_id
from worker.domain.exchanges import Exchange, Utterance
from worker.domain.feedback import Feedback
from worker.domain.memory import Remembrance
from worker.domain.money import Money
from worker.domain.threads import ThreadKey
from worker.errors import Unstorable
from worker.transcript.tables import messages, sessions
from worker.transcript.words import clean_all, words

Values = dict[str, Any]

_LARGEST = 2**63
"""A BIGINT of PostgreSQL and an INTEGER of SQLite are below it."""
LONG = 20_000
"""Characters of a message from which on it may take more than a few milliseconds to write, mostly for its words."""
NOTED = "remember"
"""In an answer's metadata, where it was to be remembered: of whom, and whether a person has refused it."""
_SPOKE = ("assistant_version", "instructions", "output_schema", "worker")
_ADDED = ("role", "cost", "user", "feedback", "remembered")
_OF_THE_EARLIEST = ("definition_key", "definition_version", "business_key", "user_id", "started_at")
_OF_THE_LATEST = ("assistant_version", "thread_id", "generation", "last_at")


def new_session(key: ThreadKey, *, started_at: datetime, last_at: datetime, **said: Any) -> Values:
    """Write a session that goes on, and what is said of it by names of columns. Raises Unstorable."""
    row: Values = dict.fromkeys(sessions.columns.keys())
    own: Values = {
        "id": session_id(key),
        "kind": "chat" if key.is_branch or key.person else "thread",
        "engine": key.engine,
        "scope": key.scope,
        "tenant": key.tenant,
        "assistant": key.assistant,
        "started_at": started_at,
        "last_at": last_at,
        "is_active": True,
        "metadata": {},
    }
    return checked(sessions, row | own | said)


def session_row(exchange: Exchange) -> Values:
    """Write the session as it is if this is its only exchange. Raises Unstorable."""
    return new_session(
        exchange.key,
        started_at=min(_aware(exchange.asked_at), _aware(exchange.answered_at)),
        last_at=exchange.answered_at,
        process_instance_id=exchange.owner_id,
        definition_key=exchange.definition_key,
        definition_version=exchange.definition_version,
        business_key=exchange.business_key,
        assistant_version=exchange.assistant_version,
        thread_id=exchange.thread_id,
        generation=exchange.generation,
        user_id=exchange.question.user,
    )


def is_long(exchange: Exchange) -> bool:
    """Whether these rows take long to write."""
    return sum(len(each.text) for each in exchange.messages if isinstance(each.text, str)) > LONG


def message_rows(exchange: Exchange) -> list[Values]:
    """Write the messages in order. What stands before the answer has the question's time. Raises Unstorable."""
    question, answer = exchange.question, exchange.answer
    if question.role is answer.role:
        raise Unstorable(f"question and answer are both the {answer.role}'s")
    asked_at, answered_at = _aware(exchange.asked_at), _aware(exchange.answered_at)
    facts = _facts(exchange) | {"created_at": answered_at}
    before = dict.fromkeys(facts) | {"created_at": min(asked_at, answered_at), "metadata": {}}
    rows, numbers = [_row(exchange, question) | before | {"metadata": _shown(exchange)}], Counter[Role]()
    for each in exchange.between:
        numbers[each.role] += 1
        rows.append(_row(exchange, each, numbers[each.role]) | before)
    rows.append(_row(exchange, answer) | facts)
    # Counted back from the answer's: so they follow from the exchange alone.
    first = micros(answered_at) - len(rows) + 1
    placed = (checked(messages, row | {"position": position}) for position, row in enumerate(rows, first))
    return [row | {"words": words(row["content"])} for row in placed]


def _shown(exchange: Exchange) -> Values:
    """Write what a question shows of what is remembered, if its task wants any."""
    if exchange.recalled is None:
        return {}
    return {"recalled": {name: value for name, value in asdict(exchange.recalled).items() if value}}


def _facts(exchange: Exchange) -> Values:
    """Write what is known of the answer alone."""
    how = {name: getattr(exchange, name) for name in ("detail", "use", "recovered", "repaired")}
    how["outcome"] = str(exchange.outcome)
    how |= {name: value for name in ("untold", "heard", "memory", "cuts") if (value := getattr(exchange, name))}
    how |= {name: getattr(exchange, name) for name in _SPOKE if getattr(exchange, name) is not None}
    if exchange.leaves is not None:
        how[NOTED] = {"subject": exchange.leaves.subject}
    return {
        "response_id": exchange.response_id,
        "model": exchange.model,
        "input_tokens": exchange.input_tokens,
        "output_tokens": exchange.output_tokens,
        "cached_tokens": exchange.cached_tokens,
        "cache_write_tokens": exchange.cache_write_tokens,
        "reasoning_tokens": exchange.reasoning_tokens,
        "cost": exchange.cost and exchange.cost.billionths,
        "currency": exchange.cost and exchange.cost.currency,
        "processing_seconds": exchange.seconds,
        "metadata": how,
    }


def _row(exchange: Exchange, message: Utterance, number: int = 0) -> Values:
    """Write one message; the number is as for `message_id`."""
    return {
        "id": message_id(exchange.key.engine, exchange.task_id, exchange.attempt, message.role, number),
        "session_id": session_id(exchange.key),
        "role": str(message.role),
        "is_between": number > 0,
        "user_id": message.user,
        "content": message.text,
        "attachment_url": None,
        "process_instance_id": exchange.process_instance_id,
        "definition_id": exchange.definition_id,
        "task_id": exchange.task_id,
        "activity_id": exchange.activity_id,
        "activity_name": exchange.activity_name,
        "attempt": exchange.attempt,
        "thread_id": exchange.thread_id,
        "generation": exchange.generation,
        "anchor": exchange.anchor,
        "provider": exchange.provider,
    }


def _aware(time: datetime) -> datetime:
    if time.tzinfo is None:
        raise Unstorable("a time without its zone")
    return time


def checked(table: Table, row: Values) -> Values:
    """Clean the texts, and refuse what a column is not for: SQLite would keep anything, and say nothing."""
    for name, value in row.items():
        column = table.c[name]
        if value is None and column.nullable:
            continue
        kind = column.type.python_type
        if not isinstance(value, (int, float) if kind is float else kind):
            raise Unstorable(f"{name} is no {kind.__name__}")
        if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
            raise Unstorable(f"{name} is too large")
    cleaned: Values = clean_all(row)
    return cleaned


def merged(known: Mapping[str, Any], new: Values, *, is_talk: bool = False) -> Values:
    """Say what another exchange changes in a session, the same in whatever order exchanges come.

    Talk changes nothing of its end: that is the process's.
    """
    changes: Values = {}
    if not is_talk:  # something is said again: there is a thread to erase, and there are words
        changes = {name: None for name in ("thread_erased_at", "anonymised_at") if known[name] is not None}
    # Exchanges come late and in any order: what is of the first one goes by its time, not by when it was written.
    if new["started_at"] < known["started_at"]:
        changes |= {name: new[name] for name in _OF_THE_EARLIEST}
        changes |= ending(new["started_at"], known["ended_at"])
    if new["last_at"] > known["last_at"]:
        changes |= {name: new[name] for name in _OF_THE_LATEST}
    # Said after its end, so it goes on.
    if not is_talk and known["ended_at"] is not None and new["last_at"] > known["ended_at"]:
        changes |= ending(known["started_at"], None)
    return changes


def ending(started_at: datetime, ended_at: datetime | None) -> Values:
    """Write whether a session has ended, and how long it took then."""
    seconds = None if ended_at is None else max(0.0, (ended_at - started_at).total_seconds())
    return {"ended_at": ended_at, "is_active": ended_at is None, "duration_seconds": seconds}


def session(row: RowMapping) -> Session:
    """Read a session; the row has `message_count` too."""
    fields = {name: row[name] for name in Session.__slots__ if name not in ("user", "messages")}
    return Session(**fields, user=row["user_id"], messages=row["message_count"])


def may_be_asked(row: RowMapping) -> bool:
    """Whether a message may be what a person asked, whose words are still there."""
    is_question = row["role"] == Role.USER and not row["is_between"]
    return is_question and not row["activity_id"] and row["content"] != REMOVED


def message(
    row: RowMapping,
    of_people: Sequence[Feedback] = (),
    links: Sequence[str] = (),
    remembered: Remembrance | None = None,
) -> Message:
    """Read a message, and add what people say of it, links that are kept beside it, and what is remembered of it."""
    fields = {name: row[name] for name in Message.__slots__ if name not in _ADDED}
    if links:
        fields |= {"attachment_url": links[0], "metadata": {**row["metadata"], "attachments": [*links]}}
    cost = None if row["cost"] is None else Money.of(row["cost"], row["currency"])
    added = {"role": Role(row["role"]), "cost": cost, "user": row["user_id"], "feedback": of_people}
    return Message(**fields, **added, remembered=remembered)


def feedback(row: RowMapping) -> Feedback:
    """Read what a person said of an answer."""
    return Feedback(row["rating"], row["note"], row["person"], row["person_id"], row["given_at"])
