"""Which provider each message's thread is at."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0005"
down_revision = "0004"


def upgrade(op: Operations) -> None:
    """Add the column. What stands there without one was said at the provider that was the only one then."""
    op.add_column("messages", sa.Column("provider", sa.Text))
