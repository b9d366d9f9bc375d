"""Links come with what persons ask."""

import sqlalchemy as sa
from alembic.operations import Operations
from sqlalchemy.dialects.postgresql import JSONB

revision = "0013"
down_revision = "0012"


def upgrade(op: Operations) -> None:
    """Add the column; older workers leave it empty, and what they accept has none."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    op.add_column("asks", sa.Column("attachments", sa.JSON() if sqlite else JSONB(), nullable=True))
