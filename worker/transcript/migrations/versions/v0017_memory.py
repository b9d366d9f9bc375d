"""What is remembered beyond an instance: of whom, what has yet to be, and what is known."""

from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0017"
down_revision = "0016"

_SQLITE_WORDS = """
CREATE VIRTUAL TABLE fact_words USING fts5(
    words, content='memory_facts', content_rowid='number', tokenize='unicode61 remove_diacritics 0');

CREATE TRIGGER facts_inserted AFTER INSERT ON memory_facts BEGIN
    INSERT INTO fact_words(rowid, words) VALUES (new.number, new.words);
END;

CREATE TRIGGER facts_deleted AFTER DELETE ON memory_facts BEGIN
    INSERT INTO fact_words(fact_words, rowid, words) VALUES ('delete', old.number, old.words);
END;
"""
_POSTGRESQL_WORDS = "CREATE INDEX fact_words ON memory_facts USING gin (to_tsvector('simple', words))"


def upgrade(op: Operations) -> None:
    """Add the tables. What older workers delete of messages takes along what is still to be remembered of them."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    number = sa.Integer if sqlite else sa.BigInteger
    time = sa.String(32) if sqlite else sa.DateTime(timezone=True)
    op.create_table(
        "memory_subjects",
        sa.Column("digest", sa.String(32), primary_key=True),
        sa.Column("engine", sa.Text, nullable=False),
        sa.Column("tenant", sa.Text),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("place", sa.BigInteger, nullable=False),
        sa.Column("changed_at", time, nullable=False),
        sa.Column("forgotten_at", time),
    )
    op.create_index("memory_subjects_changed", "memory_subjects", ["changed_at", "digest"])
    _make_waiting(op, number, time)
    _make_facts(op, number, time)
    for statement in _SQLITE_WORDS.split("\n\n") if sqlite else [_POSTGRESQL_WORDS]:
        op.execute(statement)


def _make_waiting(op: Operations, number: type[sa.Integer], time: sa.types.TypeEngine[Any]) -> None:
    op.create_table(
        "memory_waiting",
        sa.Column("number", number, primary_key=True, autoincrement=True),
        sa.Column("subject", sa.String(32), sa.ForeignKey("memory_subjects.digest"), nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("place", sa.BigInteger, nullable=False),
        sa.Column("engine", sa.Text, nullable=False),
        sa.Column("message_id", sa.String(32), sa.ForeignKey("messages.id", ondelete="CASCADE")),
        sa.Column("fact_id", sa.String(32)),
        sa.Column("process_instance_id", sa.Text, nullable=False),
        sa.Column("ref", sa.Text, nullable=False),
        sa.Column("assistant", sa.Text, nullable=False),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("needs_approval", sa.Boolean, nullable=False),
        sa.Column("said_at", time, nullable=False),
        sa.Column("due_at", time, nullable=False),
        sa.Column("is_late", sa.Boolean, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
    )
    op.create_index("memory_waiting_due", "memory_waiting", ["engine", "due_at"])
    op.create_index("memory_waiting_subject", "memory_waiting", ["subject", "place"])
    op.create_index("memory_waiting_instance", "memory_waiting", ["process_instance_id"])
    op.create_index("memory_waiting_message", "memory_waiting", ["message_id"])


def _make_facts(op: Operations, number: type[sa.Integer], time: sa.types.TypeEngine[Any]) -> None:
    op.create_table(
        "memory_facts",
        sa.Column("number", number, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column("subject", sa.String(32), sa.ForeignKey("memory_subjects.digest"), nullable=False),
        sa.Column("engine", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("process_instance_id", sa.Text, nullable=False),
        sa.Column("ref", sa.Text, nullable=False),
        sa.Column("assistant", sa.Text, nullable=False),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("message_id", sa.String(32)),
        sa.Column("said_at", time, nullable=False),
        sa.Column("approved_by", sa.Text),
        sa.Column("approved_at", time),
        sa.CheckConstraint("state IN ('proposed', 'approved')", name="memory_facts_state"),
    )
    op.create_index("memory_facts_ref", "memory_facts", ["subject", "ref"], unique=True)
    op.create_index("memory_facts_subject", "memory_facts", ["subject", "state", "number"])
    op.create_index("memory_facts_instance", "memory_facts", ["process_instance_id"])
