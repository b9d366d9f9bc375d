"""What persons ask, until it is answered and as long as its record lives."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0008"
down_revision = "0007"


def upgrade(op: Operations) -> None:
    """Add the table. Older workers do not look at it, and what they delete of a session takes its asks along."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    time = sa.String(32) if sqlite else sa.DateTime(timezone=True)
    op.create_table(
        "asks",
        sa.Column("number", sa.Integer if sqlite else sa.BigInteger, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column("session_id", sa.String(32), sa.ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
        sa.Column("engine", sa.Text, nullable=False),
        sa.Column("tenant", sa.Text),
        sa.Column("about", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("assistant", sa.Text, nullable=False),
        sa.Column("person_id", sa.String(32), nullable=False),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("person", sa.Text, nullable=False),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("process_instance_id", sa.Text, nullable=False),
        sa.Column("definition_id", sa.Text, nullable=False),
        sa.Column("definition_key", sa.Text, nullable=False),
        sa.Column("definition_version", sa.BigInteger),
        sa.Column("business_key", sa.Text),
        sa.Column("on_thread", sa.Boolean, nullable=False),
        sa.Column("as_of", sa.BigInteger),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.Column("due_at", time, nullable=False),
        sa.Column("holder", sa.String(32)),
        sa.Column("deaths", sa.BigInteger, nullable=False),
        sa.Column("failure", sa.Text, nullable=False),
        sa.Column("answer_id", sa.String(32)),
        sa.Column("finished_at", time),
    )
    op.create_index("asks_session", "asks", ["session_id", "number"])
    op.create_index("asks_instance", "asks", ["process_instance_id"])
    unfinished = sa.text("state IN ('queued', 'running')")
    for name, columns in (("asks_due", ["engine", "due_at"]), ("asks_target", ["target", "assistant", "number"])):
        op.create_index(name, "asks", columns, sqlite_where=unfinished, postgresql_where=unfinished)
