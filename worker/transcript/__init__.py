"""The transcript in SQL: an embedded SQLite file, or PostgreSQL."""

from worker.transcript.anchors import SqlAnchors
from worker.transcript.asks import SqlAsks
from worker.transcript.database import Database, address, open_database
from worker.transcript.decisions import SqlDecisions
from worker.transcript.facts import SqlFacts
from worker.transcript.feedback import SqlFeedback
from worker.transcript.format import SqlFormat
from worker.transcript.handovers import SqlHandovers
from worker.transcript.inspection import TranscriptInfo, TranscriptInspection
from worker.transcript.memos import SqlMemos
from worker.transcript.reading import SqlTranscriptReader
from worker.transcript.remarks import SqlRemarks
from worker.transcript.remembered import EmbeddedMemory
from worker.transcript.vectors import SqlVectors
from worker.transcript.visits import SqlVisits
from worker.transcript.writing import SqlTranscriptWriter

__all__ = [
    "Database",
    "EmbeddedMemory",
    "SqlAnchors",
    "SqlAsks",
    "SqlDecisions",
    "SqlFacts",
    "SqlFeedback",
    "SqlFormat",
    "SqlHandovers",
    "SqlMemos",
    "SqlRemarks",
    "SqlTranscriptReader",
    "SqlTranscriptWriter",
    "SqlVectors",
    "SqlVisits",
    "TranscriptInfo",
    "TranscriptInspection",
    "address",
    "open_database",
]
