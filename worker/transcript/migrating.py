"""Which version a database's tables are of, and how they become those of this worker."""

from pathlib import Path
from typing import Any

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from worker.errors import NoTranscript, TranscriptDown
from worker.transcript.tables import VERSION_TABLE

_STEPS = ScriptDirectory(str(Path(__file__).with_name("migrations")))


def upgrade(connection: Connection) -> None:
    """Bring the tables up to date; those of a newer worker are left as they are, as it has only added to them."""
    if _is_newer(_context(connection).get_current_revision()):
        return
    # Without Alembic's own environment, whose globals two that start at once in one process would mix up.
    context = _context(
        connection,
        transactional_ddl=True,  # SQLite's too, as its transactions are begun by us
        fn=lambda revision, _: _STEPS._upgrade_revs("head", revision),  # noqa: SLF001 - as alembic.command does
    )
    context.run_migrations(op=Operations(context))


def check(connection: Connection) -> None:
    """Refuse tables that are older than this version, and change nothing. Raises TranscriptDown."""
    found, wanted = _context(connection).get_current_revision(), _STEPS.get_current_head()
    if found == wanted or _is_newer(found):
        return
    if found is None:
        raise NoTranscript("The transcript is empty: no worker has written to this database yet. See TRANSCRIPT_URL.")
    what = f"The transcript is of an older version ({found}; this one is {wanted}), and reading does not change it."
    raise TranscriptDown(f"{what} Start a worker of this version once: it brings the transcript up to date.")


def newest() -> str:
    """Name the version of the tables that this worker makes."""
    return str(_STEPS.get_current_head())


def _is_newer(revision: str | None) -> bool:
    """Whether this is none of our steps. A newer worker's format says whether we may go on, see `SqlFormat`."""
    return revision is not None and revision not in {step.revision for step in _STEPS.walk_revisions()}


def _context(connection: Connection, **options: Any) -> MigrationContext:
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, **options})
