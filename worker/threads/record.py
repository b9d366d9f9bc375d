"""How an answer is kept in the journal: one JSON text with a schema number."""

import json
from typing import Any

from worker.domain import Answer, Outcome, Thread
from worker.errors import StoreDown

SCHEMA = 1


class CorruptRecord(StoreDown):
    """What stands in Redis was not written by this version of ours."""


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
        record: dict[str, Any] = json.loads(text)
        if record.pop("schema") != SCHEMA:
            raise CorruptRecord("unknown schema")
        thread = record.pop("thread")
        return Answer(
            **{**record, "outcome": Outcome(record["outcome"])},
            thread=Thread(**thread) if thread else None,
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise CorruptRecord(type(exc).__name__) from exc
