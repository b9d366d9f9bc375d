"""The record in SQL: an embedded SQLite file, or PostgreSQL."""

from worker.transcript.anchors import SqlAnchors
from worker.transcript.database import Database, address, open_database
from worker.transcript.reading import SqlTranscriptReader
from worker.transcript.writing import SqlTranscriptWriter

__all__ = ["Database", "SqlAnchors", "SqlTranscriptReader", "SqlTranscriptWriter", "address", "open_database"]
