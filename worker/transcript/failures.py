"""What a database's errors mean: this row will never be taken, or the database cannot be used now."""

import asyncio
import sqlite3
from typing import Any

from sqlalchemy import exc as sql

from worker.errors import TranscriptDown, Unstorable

ERRORS = (sql.SQLAlchemyError, OSError, OverflowError, asyncio.TimeoutError)
"""Everything that a statement or a connection may raise."""

NEWER = "The transcript was written by a newer worker than this one. Update this worker."

_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_ROW_CLASSES = ("22", "23", "54")
"""SQLSTATE classes that speak of this row: its data, a constraint, a limit of size."""


def translated(exc: Exception) -> TranscriptDown | Unstorable:
    """Say what happened without the driver's own text, which may carry what was said."""
    state = _state(exc)
    name = f"{type(exc).__name__} {state}".strip()
    if _is_about_the_row(exc, state):
        return Unstorable(f"the database will not take this row ({name})")
    return TranscriptDown(
        f"The transcript's database cannot be used ({name}). See TRANSCRIPT_URL, the server and its disk."
    )


def is_damage(exc: Exception) -> bool:
    """Whether a file of SQLite is none, or is broken inside."""
    code: Any = getattr(getattr(exc, "orig", exc), "sqlite_errorcode", 0)
    return (code & 0xFF) in _DAMAGE  # the rest of an extended code says where


def _is_about_the_row(exc: Exception, state: str) -> bool:
    if state:
        return state.startswith(_ROW_CLASSES)
    if isinstance(exc, sql.DBAPIError):
        return isinstance(exc, sql.IntegrityError | sql.DataError) and not exc.connection_invalidated
    return isinstance(exc, OverflowError | sql.StatementError)  # a value that the driver or a type refuses


def _state(exc: Exception) -> str:
    driver: Any = getattr(exc, "orig", exc)
    return str(getattr(driver, "sqlstate", None) or "")
