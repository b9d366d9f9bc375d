"""Conversations that persons have beside all processes are found among the many that processes have."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0012"
down_revision = "0011"


def upgrade(op: Operations) -> None:
    """Add the indexes; what they are of needs no other column, so that older workers write it as well."""
    free = sa.text("substr(scope, 1, 12) = 'task:person:'")
    op.create_index("sessions_free", "sessions", ["started_at", "id"], sqlite_where=free, postgresql_where=free)
    op.create_index("asks_person", "asks", ["person_id"])
