"""How an answer is kept in the journal, and an exchange until the transcript has it: JSON with a schema number."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from worker import foreign
from worker.conversations import Exchange
from worker.domain import Answer, Outcome, Thread, ThreadKey
from worker.errors import StoreDown

SCHEMA = 1
_TIMES = ("asked_at", "answered_at")
_EPOCH = datetime.fromtimestamp(0, UTC)


class CorruptRecord(StoreDown):
    """What stands in Redis was not written by this version of ours."""


class UnknownSchema(CorruptRecord):
    """A newer version of ours wrote it."""


class CorruptMap(CorruptRecord):
    """The map names a thread that cannot be."""


def dump(answer: Answer) -> str:
    """Write an answer as text."""
    thread = answer.thread and {"id": answer.thread.id, "generation": answer.thread.generation}
    # dataclasses.asdict costs ten times that
    fields = {name: getattr(answer, name) for name in answer.__slots__}
    return json.dumps({"schema": SCHEMA, **fields, "thread": thread}, ensure_ascii=True, separators=(",", ":"))


def load(text: str) -> Answer:
    """Read it back. Raises CorruptRecord."""
    try:
        record: dict[str, Any] = foreign.read_flat(text)
        if record.pop("schema") != SCHEMA:
            raise CorruptRecord("unknown schema")
        thread = record.pop("thread")
        return Answer(
            **{**record, "outcome": Outcome(record["outcome"])},
            thread=Thread(**thread) if thread else None,
        )
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise CorruptRecord(type(exc).__name__) from exc


def dump_exchange(exchange: Exchange) -> str:
    """Write an exchange as text, without its times: those are Redis' own, by the clock that all workers share."""
    fields = {name: getattr(exchange, name) for name in exchange.__slots__ if name not in _TIMES}
    key = {name: getattr(exchange.key, name) for name in exchange.key.__slots__}
    return json.dumps({"schema": SCHEMA, **fields, "key": key}, ensure_ascii=True, separators=(",", ":"))


def load_exchange(text: str, answered_us: str) -> Exchange:
    """Read it back; the time is in microseconds since the epoch. Raises CorruptRecord.

    What a newer version has added is left out.
    """
    try:
        record: dict[str, Any] = foreign.read_flat(text)
        if record.pop("schema") != SCHEMA:
            raise UnknownSchema("unknown schema")
        record = {name: value for name, value in record.items() if name in Exchange.__slots__}
        answered_at = _EPOCH + timedelta(microseconds=int(answered_us))
        asked_at = answered_at - timedelta(seconds=record["seconds"] or 0)
        changed = {"key": ThreadKey(**record["key"]), "outcome": Outcome(record["outcome"])}
        return Exchange(**{**record, **changed}, asked_at=asked_at, answered_at=answered_at)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as exc:
        raise CorruptRecord(type(exc).__name__) from exc
