"""Which messages stand between question and answer, and who speaks; the index of answers knows it."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0007"
down_revision = "0006"

SUMMED = (
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost",
    "currency",
)


def upgrade(op: Operations) -> None:
    """Add both: earlier messages, and those of workers that do not know the columns, are questions and answers.

    The index stays one of all that the agent says: such workers look for no other.
    """
    op.add_column("messages", sa.Column("is_between", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("messages", sa.Column("user_id", sa.Text))
    op.drop_index("messages_answers", "messages")
    answers = sa.text("role = 'agent'")
    place = ("session_id", "position", "process_instance_id", "definition_id")
    op.create_index(
        "messages_answers",
        "messages",
        [*place, *SUMMED, "role", "is_between"],
        sqlite_where=answers,
        postgresql_where=answers,
    )
