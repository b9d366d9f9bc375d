"""Conversations as files: which ones, and in which of several formats."""

from worker.export.as_json import Exported
from worker.export.formats import FORMATS, JSON, MARKDOWN, Format
from worker.export.source import Processes, Source, of_business_key, of_instance, of_session

__all__ = [
    "FORMATS",
    "JSON",
    "MARKDOWN",
    "Exported",
    "Format",
    "Processes",
    "Source",
    "of_business_key",
    "of_instance",
    "of_session",
]
