"""Records of decisions, in all of their revisions, and the rows that tell of each change."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0014"
down_revision = "0013"


def upgrade(op: Operations) -> None:
    """Add the tables. They hang on no session: a record outlives what was said for it."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    time = sa.String(32) if sqlite else sa.DateTime(timezone=True)
    whole = sa.BigInteger()
    op.create_table(
        "decisions",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("engine", sa.Text, nullable=False),
        sa.Column("tenant", sa.Text),
        sa.Column("process_instance_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("definition_key", sa.Text, nullable=False),
        sa.Column("business_key", sa.Text),
        sa.Column("revision", whole, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("began_at", time, nullable=False),
        sa.Column("changed_at", time, nullable=False),
    )
    op.create_index("decisions_instance", "decisions", ["process_instance_id"])
    op.create_index("decisions_business_key", "decisions", ["business_key"])
    op.create_index("decisions_changed", "decisions", ["engine", "changed_at", "id"])

    def own() -> sa.Column[str]:
        decision = sa.ForeignKey("decisions.id", ondelete="CASCADE")
        return sa.Column("decision_id", sa.String(32), decision, primary_key=True)

    op.create_table(
        "decision_revisions",
        own(),
        sa.Column("revision", whole, primary_key=True, autoincrement=False),
        sa.Column("content_sha256", sa.String(64), nullable=False),
        sa.Column("record", sa.Text, nullable=False),
    )
    op.create_table(
        "decision_processes",
        own(),
        sa.Column("process_instance_id", sa.Text, primary_key=True),
        sa.Column("definition_key", sa.Text, primary_key=True),
    )
    op.create_index("decision_processes_instance", "decision_processes", ["process_instance_id"])
    op.create_table(
        "decision_rows",
        own(),
        sa.Column("number", whole, primary_key=True, autoincrement=False),
        sa.Column("revision", whole, nullable=False),
        sa.Column("row", sa.Text, nullable=False),
    )
