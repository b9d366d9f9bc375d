"""How long a decision's record is kept: when its instance ended, whether it is on hold, and who signed its rows."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0016"
down_revision = "0015"


def upgrade(op: Operations) -> None:
    """Add the columns, and the table of the messages that records on hold cite."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    time = sa.String(32) if sqlite else sa.DateTime(timezone=True)
    for column in (
        sa.Column("ended_at", time),
        sa.Column("held_at", time),
        sa.Column("held_by", sa.Text),
        sa.Column("held_why", sa.Text),
    ):
        op.add_column("decisions", column)
    open_ = sa.text("ended_at IS NULL")
    op.create_index("decisions_going_on", "decisions", ["engine"], sqlite_where=open_, postgresql_where=open_)
    op.add_column("decision_rows", sa.Column("signed", sa.Text))
    op.create_table(
        "decision_held_messages",
        sa.Column("decision_id", sa.String(32), sa.ForeignKey("decisions.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("message_id", sa.String(32), primary_key=True),
    )
    op.create_index("decision_held_messages_message", "decision_held_messages", ["message_id"])
