"""The steps from one version of the tables to the next, carried out by Alembic: 8 MB that most starts can spare."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from worker.errors import TranscriptDown
from worker.transcript.failures import NEWER
from worker.transcript.tables import VERSION_TABLE

_STEPS = ScriptDirectory(str(Path(__file__).with_name("migrations")))


def known() -> Sequence[Script]:
    """Return all steps, the newest first."""
    return [*_STEPS.walk_revisions()]


def upgrade(connection: Connection) -> None:
    """Bring tables that are older than this worker's up to date. Raises TranscriptDown for what is none of ours."""
    # Without Alembic's own environment, whose globals two that start at once in one process would mix up.
    options: dict[str, Any] = {
        "version_table": VERSION_TABLE,
        "transactional_ddl": True,  # SQLite's too, as its transactions are begun by us
        "fn": lambda revision, _: _STEPS._upgrade_revs("head", revision),  # noqa: SLF001 - as alembic.command does
    }
    context = MigrationContext.configure(connection, opts=options)
    try:
        context.run_migrations(op=Operations(context))
    except CommandError as exc:
        raise TranscriptDown(NEWER) from exc
