"""The record in SQL: an embedded SQLite file, or PostgreSQL."""

from worker.transcript.anchors import SqlAnchors
from worker.transcript.database import Database, address, open_database
from worker.transcript.reading import SqlConversations
from worker.transcript.writing import SqlTranscript

__all__ = ["Database", "SqlAnchors", "SqlConversations", "SqlTranscript", "address", "open_database"]
