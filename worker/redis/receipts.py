"""How an order to erase is kept with what became of it: JSON with a schema number."""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from worker.domain.endings import Receipt, Status, Step, Store
from worker.errors import NewerRecord
from worker.redis.formats import SCHEMA, CorruptRecord, key, opened

Record = dict[str, Any]

ORDER = "an order to erase"
SCHEMA_OF_PERSONS = 2
"""Of an order for what is a person's: to older workers it would be for nobody."""
SCHEMA_OF_MEMORY = 3
"""Of an order to forget a subject of the memory: as above."""
_KNOWN = (SCHEMA, SCHEMA_OF_PERSONS, SCHEMA_OF_MEMORY)
_FIELDS = frozenset(Receipt.__slots__)
_STEP_FIELDS = frozenset(Step.__slots__)


def dump_receipt(receipt: Receipt, kept: bytes | str | None = None) -> str:
    """Write a receipt as text. What a newer version has added to the one that is kept stays. Raises NewerRecord."""
    more, more_of_steps = _added(kept)
    record = asdict(receipt)
    record["steps"] = [more_of_steps.get((each["store"], each["what"]), {}) | each for each in record["steps"]]
    schema = SCHEMA if receipt.person is None else SCHEMA_OF_PERSONS
    schema = schema if receipt.memory is None else SCHEMA_OF_MEMORY
    return json.dumps({"schema": schema, **more, **record}, default=datetime.isoformat, separators=(",", ":"))


def load_receipt(text: bytes | str) -> Receipt:
    """Read it back, but for what a newer version has added. Raises CorruptRecord, NewerRecord."""
    record = opened(text, ORDER, _KNOWN)
    try:
        times = {name: _time(record[name]) for name in ("ordered_at", "look_again_at", "completed_at")}
        steps = tuple(_step(each) for each in record["steps"])
        tenants = None if record.get("tenants") is None else tuple(record["tenants"])
        known = {name: value for name, value in record.items() if name in _FIELDS}
        return Receipt(**known | times | {"steps": steps, "tenants": tenants})
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise CorruptRecord(f"{ORDER} cannot be read: {type(exc).__name__}") from exc


def _step(kept: Mapping[str, Any]) -> Step:
    if kept["store"] not in set(Store) or kept["status"] not in set(Status):
        raise NewerRecord(ORDER)
    known = {name: value for name, value in kept.items() if name in _STEP_FIELDS}
    changed = {"store": Store(kept["store"]), "status": Status(kept["status"]), "at": _time(kept["at"])}
    return Step(**known | changed | {"key": key(kept["key"]) if kept["key"] else None})


def _added(kept: bytes | str | None) -> tuple[Record, dict[tuple[str, str], Record]]:
    """Pick what a newer version has added to an order, and to each of its steps."""
    try:
        record = {} if kept is None else opened(kept, ORDER, _KNOWN)
        steps = {(each["store"], each["what"]): _without(each, _STEP_FIELDS) for each in record.get("steps", ())}
    except (CorruptRecord, TypeError, KeyError):
        return {}, {}
    return _without(record, _FIELDS), steps


def _without(record: Record, known: Collection[str]) -> Record:
    return {name: value for name, value in record.items() if name not in known}


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
