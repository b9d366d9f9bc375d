"""Cursors: the last row of a page, so that the next page begins behind it, whatever is written meanwhile."""

import base64
import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import RowMapping

from worker.domain import foreign
from worker.domain.conversations import EPOCH, Page
from worker.errors import BadCursor

T = TypeVar("T")

_LARGEST = 2**62
"""Cursors come from outside: beyond 2^63 the databases' drivers raise errors of their own."""


def time_of(micros: int) -> datetime:
    """Turn microseconds back into the time. Raises BadCursor for one outside of the calendar."""
    try:
        return EPOCH + timedelta(microseconds=micros)
    except OverflowError as exc:
        raise BadCursor("this is no cursor of ours") from exc


def dump(number: int, name: str) -> str:
    """Write a row's place as text that fits into an address."""
    return base64.urlsafe_b64encode(json.dumps([number, name]).encode()).decode().rstrip("=")


def load(cursor: str) -> tuple[int, str]:
    """Read it back. Raises BadCursor."""
    try:
        number, name = foreign.read(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, TypeError) as exc:
        raise BadCursor("this is no cursor of ours") from exc
    if type(number) is not int or type(name) is not str or abs(number) > _LARGEST:
        raise BadCursor("this is no cursor of ours")
    return number, name


def page(
    found: Sequence[RowMapping], limit: int, read: Callable[[RowMapping], T], place: Callable[[RowMapping], Any]
) -> Page[T]:
    """Keep one row less than was asked for: that one only says that there is more."""
    kept = found[:limit]
    return Page([read(row) for row in kept], dump(*place(kept[-1])) if len(found) > limit else None)
