"""What people say of answers."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0010"
down_revision = "0009"


def upgrade(op: Operations) -> None:
    """Add the table. What stands in it goes with its message, whoever deletes that: older workers know no feedback."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    op.create_table(
        "feedback",
        sa.Column("number", sa.Integer if sqlite else sa.BigInteger, primary_key=True, autoincrement=True),
        sa.Column("message_id", sa.String(32), sa.ForeignKey("messages.id", ondelete="CASCADE"), nullable=False),
        sa.Column("person_id", sa.String(32)),
        sa.Column("person", sa.Text, nullable=False),
        sa.Column("rating", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("given_at", sa.String(32) if sqlite else sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("rating IN ('right', 'wrong')", name="feedback_rating"),
    )
    op.create_index("feedback_of_person", "feedback", ["message_id", "person_id"], unique=True)
