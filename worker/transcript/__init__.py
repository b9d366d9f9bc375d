"""The record in SQL: an embedded SQLite file, or PostgreSQL."""

from worker.transcript.anchors import SqlAnchors
from worker.transcript.database import Database, address, open_database
from worker.transcript.feedback import SqlFeedback
from worker.transcript.format import SqlFormat
from worker.transcript.inspection import RecordInfo, RecordInspection
from worker.transcript.reading import SqlTranscriptReader
from worker.transcript.writing import SqlTranscriptWriter

__all__ = [
    "Database",
    "RecordInfo",
    "RecordInspection",
    "SqlAnchors",
    "SqlFeedback",
    "SqlFormat",
    "SqlTranscriptReader",
    "SqlTranscriptWriter",
    "address",
    "open_database",
]
