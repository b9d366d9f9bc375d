"""What persons hand to processes, and how that stands."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0011"
down_revision = "0010"


def upgrade(op: Operations) -> None:
    """Add the table. What stands in it goes with its ask, whoever deletes that: older workers know no hand-overs."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    time = sa.String(32) if sqlite else sa.DateTime(timezone=True)
    op.create_table(
        "handovers",
        sa.Column("ask_id", sa.String(32), sa.ForeignKey("asks.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("person", sa.Text, nullable=False),
        sa.Column("message", sa.Text),
        sa.Column("task", sa.Text),
        sa.Column("variable", sa.Text, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("holder", sa.String(32), nullable=False),
        sa.Column("begun_at", time, nullable=False),
        sa.Column("due_at", time, nullable=False),
        sa.Column("finished_at", time),
        sa.Column("decided_by", sa.Text, nullable=False),
    )
