"""What each answer took of the cache and for reasoning, and what it cost."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0006"
down_revision = "0005"

TOKENS = ("cached_tokens", "cache_write_tokens", "reasoning_tokens")


def upgrade(op: Operations) -> None:
    """Add them: of earlier answers nobody knows it. The index has all that sums are made of, without what was said."""
    for name in (*TOKENS, "cost"):
        op.add_column("messages", sa.Column(name, sa.BigInteger))
    op.add_column("messages", sa.Column("currency", sa.Text))
    summed = ["input_tokens", "output_tokens", *TOKENS, "cost", "currency", "role"]
    answers = sa.text("role = 'agent'")
    op.create_index(
        "messages_answers",
        "messages",
        ["session_id", "position", "process_instance_id", "definition_id", *summed],
        sqlite_where=answers,
        postgresql_where=answers,
    )
