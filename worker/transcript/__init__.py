"""The record in SQL: an embedded SQLite file, or PostgreSQL."""

from worker.transcript.database import Database, address, open_database
from worker.transcript.reading import SqlConversations
from worker.transcript.writing import SqlTranscript

__all__ = ["Database", "SqlConversations", "SqlTranscript", "address", "open_database"]
