"""The format of what is kept for each engine."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0004"
down_revision = "0003"


def upgrade(op: Operations) -> None:
    """Add the table. Whoever writes here first notes its own format."""
    op.create_table(
        "formats",
        sa.Column("engine", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
    )
