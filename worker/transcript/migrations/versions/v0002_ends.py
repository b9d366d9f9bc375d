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
    op.drop_index("messages_instance", "messages")
    op.create_index("messages_instance", "messages", ["process_instance_id", "position", "id", "session_id"])
