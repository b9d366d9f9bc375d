"""Sessions, messages and their words."""

from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

Type = sa.types.TypeEngine[Any]

_SQLITE_WORDS = """
CREATE VIRTUAL TABLE message_words USING fts5(
    words, content='messages', content_rowid='number', tokenize='unicode61 remove_diacritics 0');

CREATE TRIGGER messages_inserted AFTER INSERT ON messages BEGIN
    INSERT INTO message_words(rowid, words) VALUES (new.number, new.words);
END;

CREATE TRIGGER messages_deleted AFTER DELETE ON messages BEGIN
    INSERT INTO message_words(message_words, rowid, words) VALUES ('delete', old.number, old.words);
END;

CREATE TRIGGER messages_updated AFTER UPDATE OF words ON messages BEGIN
    INSERT INTO message_words(message_words, rowid, words) VALUES ('delete', old.number, old.words);
    INSERT INTO message_words(rowid, words) VALUES (new.number, new.words);
END;
"""
"""The words without a copy of them; diacritics count, as they do in PostgreSQL."""
_POSTGRESQL_WORDS = "CREATE INDEX message_words ON messages USING gin (to_tsvector('simple', words))"


def upgrade(op: Operations) -> None:
    """Make everything."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    time = sa.String(32) if sqlite else sa.DateTime(timezone=True)
    json = sa.JSON() if sqlite else JSONB()
    _make_sessions(op, time, json)
    _make_messages(op, time, json, number=sa.Integer() if sqlite else sa.BigInteger())
    for statement in _SQLITE_WORDS.split("\n\n") if sqlite else [_POSTGRESQL_WORDS]:
        op.execute(statement)


def _make_sessions(op: Operations, time: Type, json: Type) -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("engine", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("process_instance_id", sa.Text),
        sa.Column("definition_key", sa.Text, nullable=False),
        sa.Column("definition_version", sa.BigInteger),
        sa.Column("business_key", sa.Text),
        sa.Column("tenant", sa.Text),
        sa.Column("assistant", sa.Text, nullable=False),
        sa.Column("assistant_version", sa.Text),
        sa.Column("thread_id", sa.Text),
        sa.Column("generation", sa.BigInteger),
        sa.Column("user_id", sa.Text),
        sa.Column("started_at", time, nullable=False),
        sa.Column("last_at", time, nullable=False),
        sa.Column("ended_at", time),
        sa.Column("duration_seconds", sa.Double),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("metadata", json, nullable=False),
        sa.CheckConstraint("kind IN ('thread', 'chat')", name="sessions_kind"),
        sa.CheckConstraint("is_active = (ended_at IS NULL)", name="sessions_active"),
    )
    op.create_index("sessions_instance", "sessions", ["process_instance_id"])
    op.create_index("sessions_business_key", "sessions", ["business_key"])
    op.create_index("sessions_started", "sessions", ["started_at", "id"])


def _make_messages(op: Operations, time: Type, json: Type, number: Type) -> None:
    op.create_table(
        "messages",
        sa.Column("number", number, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column("session_id", sa.String(32), sa.ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("attachment_url", sa.Text),
        sa.Column("process_instance_id", sa.Text, nullable=False),
        sa.Column("definition_id", sa.Text, nullable=False),
        sa.Column("task_id", sa.Text, nullable=False),
        sa.Column("activity_id", sa.Text, nullable=False),
        sa.Column("activity_name", sa.Text, nullable=False),
        sa.Column("attempt", sa.BigInteger, nullable=False),
        sa.Column("thread_id", sa.Text),
        sa.Column("generation", sa.BigInteger),
        sa.Column("response_id", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("input_tokens", sa.BigInteger),
        sa.Column("output_tokens", sa.BigInteger),
        sa.Column("processing_seconds", sa.Double),
        sa.Column("metadata", json, nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.CheckConstraint("role IN ('user', 'agent', 'system')", name="messages_role"),
    )
    op.create_index("messages_session", "messages", ["session_id", "position", "id"])
    op.create_index("messages_instance", "messages", ["process_instance_id", "position", "id"])
