"""Anchors of accounts at the provider, and which of them each message's thread is in; an index by engine."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0003"
down_revision = "0002"


def upgrade(op: Operations) -> None:
    """Add them: of earlier messages nobody knows it. Every reader keeps to one engine, so that has an index now."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    op.create_table(
        "anchors",
        sa.Column("engine", sa.Text, primary_key=True),
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("made_at", sa.String(32) if sqlite else sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_left", sa.Boolean, nullable=False),
    )
    op.add_column("messages", sa.Column("anchor", sa.Text))
    op.create_index("sessions_engine", "sessions", ["engine", "started_at", "id"])
