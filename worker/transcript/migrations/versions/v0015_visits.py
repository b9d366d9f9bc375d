"""Visits of people at sessions."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0015"
down_revision = "0014"


def upgrade(op: Operations) -> None:
    """Add the table. With its session a visit goes, whatever worker deletes that: an older one does not know of it."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    time = sa.String(32) if sqlite else sa.DateTime(timezone=True)
    session = sa.ForeignKey("sessions.id", ondelete="CASCADE")
    op.create_table(
        "visits",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("session_id", sa.String(32), session, nullable=False),
        sa.Column("engine", sa.Text, nullable=False),
        sa.Column("person_id", sa.String(32)),
        sa.Column("person", sa.Text, nullable=False),
        sa.Column("heartbeat", sa.Text),
        sa.Column("began_at", time, nullable=False),
        sa.Column("last_seen_at", time, nullable=False),
        sa.Column("ended_at", time),
        sa.Column("duration_seconds", sa.Double),
    )
    op.create_index("visits_session", "visits", ["session_id", "began_at"])
    op.create_index("visits_person", "visits", ["person_id"])
    is_open = sa.text("ended_at IS NULL")
    op.create_index("visits_open", "visits", ["engine"], sqlite_where=is_open, postgresql_where=is_open)
