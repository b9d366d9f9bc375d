"""Messages are numbered in the order in which they can be read, so that a reader may go by their numbers."""

from alembic.operations import Operations

revision = "0009"
down_revision = "0008"

_SQLITE_LAST = """
CREATE TABLE last_number (number INTEGER NOT NULL);

INSERT INTO last_number SELECT coalesce(max(number), 0) FROM messages;

CREATE TRIGGER last_number_deleted AFTER DELETE ON messages BEGIN
    UPDATE last_number SET number = max(number, old.number);
END;
"""
"""SQLite gives the number of a row that is gone to the next one, if it was the highest; PostgreSQL never does."""


def upgrade(op: Operations) -> None:
    """Find by their numbers what was said in a session, and remember the highest one that went."""
    op.create_index("messages_numbers", "messages", ["session_id", "number"])
    if op.get_bind().dialect.name == "sqlite":
        for statement in _SQLITE_LAST.split("\n\n"):
            op.execute(statement)
