"""How an order to erase is kept with what became of it: JSON with a schema number."""

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from worker import foreign
from worker.domain import ThreadKey
from worker.erasure import Receipt, Status, Step, Store
from worker.threads.record import CorruptRecord

SCHEMA = 1


def dump_receipt(receipt: Receipt) -> str:
    """Write a receipt as text."""
    return json.dumps({"schema": SCHEMA, **asdict(receipt)}, default=datetime.isoformat, separators=(",", ":"))


def load_receipt(text: bytes | str) -> Receipt:
    """Read it back. Raises CorruptRecord."""
    try:
        record: dict[str, Any] = foreign.read_flat(text)
        if record.pop("schema") != SCHEMA:
            raise CorruptRecord("an order to erase is of an unknown schema")
        times = {name: _time(record[name]) for name in ("ordered_at", "look_again_at", "completed_at")}
        steps = tuple(_step(**each) for each in record["steps"])
        tenants = None if record.get("tenants") is None else tuple(record["tenants"])
        return Receipt(**record | times | {"steps": steps, "tenants": tenants})
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise CorruptRecord(f"an order to erase cannot be read: {type(exc).__name__}") from exc


def _step(store: str, status: str, key: dict[str, Any] | None, at: str | None, **rest: Any) -> Step:
    return Step(store=Store(store), status=Status(status), key=ThreadKey(**key) if key else None, at=_time(at), **rest)


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
