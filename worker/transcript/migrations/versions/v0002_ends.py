"""Since when the provider has nothing of a session any more, and its words are gone; instances by an index alone."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0002"
down_revision = "0001"


def upgrade(op: Operations) -> None:
    """Add both times: nobody knows them of earlier sessions, which are looked at once more."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    time = sa.String(32) if sqlite else sa.DateTime(timezone=True)
    op.add_column("sessions", sa.Column("thread_erased_at", time))
    op.add_column("sessions", sa.Column("anonymised_at", time))
    going_on, left = sa.text("is_active = 1" if sqlite else "is_active"), sa.text("thread_erased_at IS NULL")
    for name, where in (("sessions_going_on", going_on), ("sessions_with_threads", left)):
        op.create_index(name, "sessions", ["started_at", "id"], sqlite_where=where, postgresql_where=where)
    op.drop_index("messages_instance", "messages")
    op.create_index("messages_instance", "messages", ["process_instance_id", "position", "id", "session_id"])
